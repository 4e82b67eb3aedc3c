"""Small servers that speak what a vendor's API speaks, and are strict about who asks.

The vendors' own servers cannot run here. Each answers only where the credential is exactly the one it was given, in
exactly the place where the vendor wants it, and keeps what it was asked in `.asked`."""

import http.server
import json
import threading


class Api:
    """`expected` maps the fields that every request must have, in lower case, to their exact values."""

    def __init__(self, routes, expected):
        self.routes = routes
        self.expected = expected
        self.asked = []
        self.refused = []
        self.gate = threading.Semaphore(0)  # a stream's next event leaves when it is released
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            api = outer

            def handle_any(self):
                outer.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, request):
        body = read_body(request)
        for name, value in self.expected.items():
            if request.headers.get_all(name) != [value]:
                self.refused.append((request.command, request.path, name, request.headers.get_all(name)))
                return reply(request, 401, {"error": {"message": f"bad {name}", "type": "authentication_error"}})
        path = request.path.split("?")[0].replace("%2F", "%2f")
        self.asked.append((request.command, request.path, body))
        route = self.routes.get((request.command, path))
        if not route:
            return reply(request, 404, {"message": f"no {request.command} {path}"})
        return route(request, body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def read_body(request):
    if request.headers.get("Transfer-Encoding", "").lower() == "chunked":
        data = b""
        while size := int(request.rfile.readline(), 16):
            data += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return data
    return request.rfile.read(int(request.headers.get("Content-Length", 0)))


def reply(request, status, value, *fields, kind="application/json"):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(data)))
    for name, text in fields:
        request.send_header(name, text)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data)


def stream(request, events):
    """Server-sent events, each only after the client told that it has the one before."""
    request.send_response(200)
    request.send_header("Content-Type", "text/event-stream")
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for number, (text, waits) in enumerate(events):
        data = text.encode()
        request.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        request.wfile.flush()
        if waits and not request.api.gate.acquire(timeout=20):
            request.close_connection = True
            return
    request.wfile.write(b"0\r\n\r\n")


WORDS = ["one", " two", " three"]


def openai(secret):
    def completion(request, body):
        asked = json.loads(body)
        base = {"id": "chatcmpl-1", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(WORDS)}
            return reply(request, 200, {
                **base, "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4},
            })

        def event(delta, reason=None):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return "data: " + json.dumps({**base, "object": "chat.completion.chunk", "choices": [choice]}) + "\n\n"

        events = [(event({"content": word}), True) for word in WORDS]
        return stream(request, [*events, (event({}, "stop"), False), ("data: [DONE]\n\n", False)])

    def models(request, _):
        reply(request, 200, {"object": "list", "data": [{"id": "gpt-test", "object": "model", "created": 1, "owned_by": "t"}]})

    def file(request, body):
        assert b"purpose" in body and b"line of the file" in body
        reply(request, 200, {"id": "file-1", "object": "file", "bytes": len(body), "created_at": 1,
                             "filename": "f.jsonl", "purpose": "batch", "status": "processed"})

    routes = {("POST", "/v1/chat/completions"): completion, ("GET", "/v1/models"): models, ("POST", "/v1/files"): file}
    return Api(routes, {"authorization": f"Bearer {secret}"})


def anthropic(secret):
    def message(request, body):
        asked = json.loads(body)
        whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "content": [],
                 "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
        if not asked.get("stream"):
            content = [{"type": "text", "text": "".join(WORDS)}]
            return reply(request, 200, {**whole, "content": content, "stop_reason": "end_turn"})

        def event(kind, waits=False, **members):
            return (f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n", waits)

        return stream(request, [
            event("message_start", message=whole),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            *(event("content_block_delta", True, index=0, delta={"type": "text_delta", "text": word}) for word in WORDS),
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}),
            event("message_stop"),
        ])

    return Api({("POST", "/v1/messages"): message}, {"x-api-key": secret})


def github(authorization):
    """Takes the one Authorization value that the preset is to make."""

    def user(request, _):
        reply(request, 200, {"login": "octo", "id": 1, "type": "User", "url": "u"})

    def repo(request, _):
        reply(request, 200, {"id": 2, "name": "hello", "full_name": "octo/hello", "private": True,
                             "owner": {"login": "octo", "id": 1}, "url": f"{request.api.url}/repos/octo/hello"})

    def issues(request, _):
        if "page=2" in request.path:
            return reply(request, 200, [issue(2, "second")])
        link = f'<{request.api.url}/repos/octo/hello/issues?page=2>; rel="next"'
        return reply(request, 200, [issue(1, "first")], ("Link", link))

    def new_issue(request, body):
        reply(request, 201, issue(3, json.loads(body)["title"]))

    def issue(number, title):
        return {"id": number, "number": number, "title": title, "state": "open", "url": f"u/{number}",
                "user": {"login": "octo", "id": 1}}

    return Api({
        ("GET", "/user"): user, ("GET", "/repos/octo/hello"): repo, ("GET", "/repos/octo/hello/issues"): issues,
        ("POST", "/repos/octo/hello/issues"): new_issue,
    }, {"authorization": authorization})


def npm(secret, packages):
    """A registry with private packages: {name: {version: tarball bytes}}; nothing without the token."""
    import hashlib

    def document(name):
        def serve(request, _):
            versions = {}
            for version, data in packages[name].items():
                # As a registry behind a name of its own does: tarball URLs are absolute, on the host that was asked.
                url = f"http://{request.headers['Host']}/{name}/-/{name.split('/')[-1]}-{version}.tgz"
                versions[version] = {"name": name, "version": version,
                                     "dist": {"tarball": url, "shasum": hashlib.sha1(data).hexdigest()}}
            reply(request, 200, {"name": name, "dist-tags": {"latest": max(versions)}, "versions": versions})

        return serve

    def tarball(data):
        return lambda request, _: reply(request, 200, data, kind="application/octet-stream")

    routes = {}
    for name, versions in packages.items():
        routes["GET", "/" + name] = routes["GET", "/" + name.replace("/", "%2f")] = document(name)
        for version, data in versions.items():
            routes["GET", f"/{name}/-/{name.split('/')[-1]}-{version}.tgz"] = tarball(data)
    return Api(routes, {"authorization": f"Bearer {secret}"})
