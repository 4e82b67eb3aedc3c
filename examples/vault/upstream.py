#!/usr/bin/env python3
"""Stands in for an API on 127.0.0.1:8000 and prints the Authorization that it gets."""

import http.server


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, "came with", self.headers["Authorization"], flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Api).serve_forever()
