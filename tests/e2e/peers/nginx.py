"""A real nginx on loopback that logs, as JSON lines, what it received."""

import itertools
import json
import pathlib
import socket
import subprocess

from .keystile import clean_environment, free_port, wait_for
from .wire import Client, note

LOGGED = {
    "method": "$request_method", "uri": "$request_uri", "protocol": "$server_protocol", "host": "$http_host",
    "authorization": "$http_authorization", "x_api_key": "$http_x_api_key", "cookie": "$http_cookie",
    "proxy_authorization": "$http_proxy_authorization", "via": "$http_via", "forwarded": "$http_x_forwarded_for",
    "user_agent": "$http_user_agent", "length": "$content_length", "connection": "$connection", "tls": "$ssl_protocol",
    "status": "$status", "client": "$ssl_client_s_dn", "resumed": "$ssl_session_reused", "time": "$msec",
}

CONFIG = """{user}
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 256; }}
http {{
	log_format seen escape=json '{log}';
	access_log {folder}/seen.log seen;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	client_max_body_size 64m;
	default_type text/plain;
	server {{
		listen {address}:{port};
		{tls}
		server_name localhost;
		root {folder}/www;
		location = /made {{ return 201 "made by $request_method\\n"; }}
		location = /empty {{ return 204; }}
		location = /moved {{ return 302 http://$http_host/there?a=b; }}
		location /quiet/ {{ return 200 "ok\n"; }}
		location /say/ {{ return 200 "$request_method $uri\\n"; }}
		location /files/ {{ alias {folder}/www/; autoindex on; }}
		{more}
	}}
}}
"""


def only_root():
    """Is that the one user who is there? So it is in most user namespaces."""
    return pathlib.Path("/proc/self/uid_map").read_text().split()[2] == "1"


class Nginx:
    """`more` is what else stands in its server block; `certificate` (two paths) makes it speak TLS, and HTTP/2 where the
    client wants it. `network` (peers.network) is where it listens, at `address` and `port`."""

    def __init__(self, folder, more="", certificate=None, network=None, address="127.0.0.1", port=None):
        self.folder = pathlib.Path(folder)
        self.address, self.port, self.network = address, port or free_port(), network or socket
        (self.folder / "www").mkdir(parents=True, exist_ok=True)
        tls = "ssl_certificate {}; ssl_certificate_key {};".format(*certificate) if certificate else ""
        log = "{" + ",".join(f'"{key}":"{value}"' for key, value in LOGGED.items()) + "}"
        listen = f"{self.port} ssl http2" if certificate else self.port
        user = "user root;" if network or only_root() else ""
        text = CONFIG.format(user=user, folder=self.folder, address=address, port=listen, tls=tls, more=more, log=log)
        (self.folder / "nginx.conf").write_text(text)
        self.seen_path = self.folder / "seen.log"
        self.offset, self.marks = 0, itertools.count(1)
        self.process = subprocess.Popen(
            [*(network.launcher if network else []), "/usr/sbin/nginx", "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "error.log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment(),
        )
        wait_for(lambda: (self.folder / "nginx.pid").exists() or self.died(), "nginx to start")

    def died(self):
        if self.process.poll() is not None:
            raise AssertionError("nginx did not start: " + (self.folder / "error.log").read_text())

    def seen(self, count=1):
        """What it received since the last call; waits until there are `count` lines."""

        def lines():
            if not self.seen_path.exists():
                return []
            with open(self.seen_path) as file:
                file.seek(self.offset)
                return [line for line in file.read().splitlines(keepends=True) if line.endswith("\n")]

        wait_for(lambda: len(lines()) >= count, f"nginx to log {count} requests")
        found = lines()
        self.offset += sum(len(line.encode()) for line in found)
        for line in found:
            note("nginx", "logged", line)
        return [json.loads(line) for line in found]

    def forget(self):
        """Starts a new count for seen(), behind the line of a request of our own: what it answered before is logged by then. Where
        it wants TLS it says no to that, and logs it."""
        mark = f"/quiet/mark-{next(self.marks)}"
        with Client((self.address, self.port), "nginx's mark", self.network) as client:
            client.send(f"GET {mark} HTTP/1.0\r\n\r\n")
            client.rest()
        wait_for(lambda: f'"uri":"{mark}"' in self.seen_path.read_text(errors="replace"), "nginx to log the mark")
        self.offset = self.seen_path.stat().st_size

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
