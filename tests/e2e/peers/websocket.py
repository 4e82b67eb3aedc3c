"""Real WebSocket servers that send back what comes: `websockets` in a thread, `ws` in a process of node."""

import json
import pathlib
import subprocess
import threading

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.sync.server import serve

from .keystile import clean_environment
from .wire import note

LARGEST = 16 * 1024 * 1024


class PythonServer:
    """`listener`, a socket, where another network has it."""

    def __init__(self, listener=None):
        self.requests = []
        more = {"sock": listener} if listener else {"host": "127.0.0.1", "port": 0}
        self.server = serve(
            self.echo, **more, max_size=LARGEST, process_request=self.keep, select_subprotocol=self.select,
            extensions=[ServerPerMessageDeflateFactory()],
        )
        self.port = self.server.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def keep(self, _, request):
        self.requests.append({name.lower(): ", ".join(request.headers.get_all(name)) for name in request.headers})

    def select(self, _, offered):
        return offered[0] if offered else None

    def echo(self, connection):
        for message in connection:
            connection.send(message)

    def close(self):
        self.server.shutdown()
        self.thread.join(10)


NODE = """
const { WebSocketServer } = require("ws");
const { readFileSync } = require("fs");
const [cert, key] = process.argv.slice(2);
const http = cert ? require("https").createServer({ cert: readFileSync(cert), key: readFileSync(key) }) : require("http").createServer();
const limits = { maxPayload: 16 << 20, maxPendingAutoPongs: 1000 };
const server = new WebSocketServer({ server: http, ...limits, perMessageDeflate: { threshold: 0 } });
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: http.address().port })));
server.on("connection", (socket, request) => {
  console.log(JSON.stringify(request.headers));
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
"""


class NodeServer:
    """`certificate`, two paths, for TLS."""

    def __init__(self, tools, folder, certificate=()):
        script = pathlib.Path(folder) / "server.cjs"
        script.write_text(NODE)
        self.requests = []
        self.process = subprocess.Popen(
            [tools / "bin/node", script, *certificate], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=folder,
            env=clean_environment(NODE_PATH=str(tools / "node/node_modules")),
        )
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            note("node's server", "got", line)
            self.requests.append(json.loads(line))

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.thread.join(10)
