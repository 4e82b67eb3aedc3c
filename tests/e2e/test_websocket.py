"""WebSocket through proxyd: real clients and real servers, which know nothing of it (SPEC §3, §9)."""

import json
import os

import pytest

from peers import evidence
from peers.config import one_api
from peers.keystile import wait_for
from peers.websocket import NodeServer, PythonServer
from test_clients import NODE, PYTHON, TOOLS, client_environment, run

TUNNEL = "198.51.100.80"  # tun.test

# What each client does on the connection `w`: small, large and many messages both ways, a storm of pings, a clean end. It is
# given URL, PROTOCOLS and FIELDS (JSON), PROXY, and says what was negotiated.
PYTHON_CLIENT = """
import json, os, sys
from websockets.sync.client import connect
settings = {}
if os.environ.get("PROXY"):
    settings["proxy"] = os.environ["PROXY"]
text, large = "gr\\u00fc\\u00dfe", os.urandom(1 << 20)
with connect(os.environ["URL"], subprotocols=json.loads(os.environ["PROTOCOLS"]) or None, max_size=16 << 20,
             additional_headers=json.loads(os.environ["FIELDS"]), compression=os.environ["COMPRESSION"] or None, **settings) as w:
    w.send(text)
    assert w.recv() == text
    for _ in range(3):
        w.send(large)
        assert w.recv() == large
    for number in range(500):
        w.send(f"{number}" * 50)
    for number in range(500):
        assert w.recv() == f"{number}" * 50
    pongs = [w.ping() for _ in range(500)]
    assert all(pong.wait(10) for pong in pongs)
print(json.dumps([w.subprotocol or "", [e.name for e in w.protocol.extensions], w.close_code]))
"""
NODE_CLIENT = """
const WebSocket = require("ws");
const crypto = require("crypto"), assert = require("assert");
const options = { headers: JSON.parse(process.env.FIELDS), perMessageDeflate: process.env.COMPRESSION ? { threshold: 0 } : false };
const w = new WebSocket(process.env.URL, JSON.parse(process.env.PROTOCOLS), options);
const got = [], wanted = [];
let pongs = 0, code;
w.on("open", async () => {
  wanted.push(Buffer.from("gr\\u00fc\\u00dfe"));
  for (let i = 0; i < 3; i++) wanted.push(crypto.randomBytes(1 << 20));
  for (let i = 0; i < 500; i++) wanted.push(Buffer.from(`${i}`.repeat(50)));
  for (let i = 0; i < 500; i++) w.ping(`${i}`);
  for (const message of wanted) w.send(message);
});
const over = () => { if (pongs === 500 && got.length === wanted.length) w.close(1000); };
w.on("pong", () => { pongs++; over(); });
w.on("message", (data) => { got.push(data); over(); });
w.on("close", (code) => {
  assert.deepStrictEqual(got, wanted);
  console.log(JSON.stringify([w.protocol, w.extensions ? w.extensions.split(";").slice(0, 1) : [], code]));
});
"""
# As in a browser: the token can stand nowhere but among the protocols
BUILT_IN_CLIENT = """
const assert = require("assert");
const w = new WebSocket(process.env.URL, JSON.parse(process.env.PROTOCOLS));
const large = new Uint8Array(1 << 20).map((_, i) => i * i >> 7);
w.binaryType = "arraybuffer";
w.onopen = () => w.send(large);
w.onmessage = ({ data }) => { assert.deepStrictEqual(new Uint8Array(data), large); w.close(1000); };
w.onclose = ({ code }) => console.log(JSON.stringify([w.protocol, w.extensions ? w.extensions.split(";").slice(0, 1) : [], code]));
w.onerror = (event) => { console.log(event.message); process.exitCode = 1; };
"""
AIOHTTP_CLIENT = """
import aiohttp, asyncio, json, os
async def main():
    large = os.urandom(1 << 20)
    async with aiohttp.ClientSession() as session:
        w = await session.ws_connect(os.environ["URL"], proxy=os.environ.get("PROXY") or None, max_msg_size=16 << 20,
                                     headers=json.loads(os.environ["FIELDS"]), protocols=json.loads(os.environ["PROTOCOLS"]), compress=15)
        for _ in range(3):
            await w.send_bytes(large)
            assert (await w.receive()).data == large
        await w.close()
        print(json.dumps([w.protocol or "", ["permessage-deflate"] if w.compress else [], w.close_code]))
asyncio.run(main())
"""
CLIENTS = {
    "websockets": ([PYTHON, "-c", PYTHON_CLIENT], "deflate"), "websockets, plain": ([PYTHON, "-c", PYTHON_CLIENT], ""),
    "ws": ([NODE, "-e", NODE_CLIENT], "deflate"), "ws, plain": ([NODE, "-e", NODE_CLIENT], ""),
    "aiohttp": ([PYTHON, "-c", AIOHTTP_CLIENT], "deflate"), "node": ([NODE, "-e", BUILT_IN_CLIENT], "deflate"),
}
DEFLATE = ["permessage-deflate"]


def settings(url, protocols=(), fields=None, through="", compression="deflate"):
    return {"URL": url, "PROTOCOLS": json.dumps(list(protocols)), "FIELDS": json.dumps(fields or {}), "PROXY": through,
            "COMPRESSION": compression, "NODE_PATH": str(TOOLS / "node/node_modules")}


def speak(proxy, tmp_path, client, **more):
    """Runs that client to its end; what it negotiated: protocol, extensions, and the code of its close."""
    command, compression = CLIENTS[client]
    environment = client_environment(proxy, tmp_path, **settings(compression=compression, **more))
    return json.loads(run(command, environment, tmp_path).stdout)


@pytest.fixture(params=["websockets", "ws"])
def server(request, tmp_path):
    one = PythonServer() if request.param == "websockets" else NodeServer(TOOLS, tmp_path)
    yield one
    one.close()


def address(proxy):
    """The base URL of the credential, as its WebSocket clients have it."""
    return proxy.environment()["API_URL"].replace("http:", "ws:") + "/realtime?model=x"


def check_served(proxy, server, protocols=""):
    """The server got the secret, and no token; the audit has both lines."""
    wait_for(lambda: server.requests, "the server to tell of the request")
    seen = server.requests[0]
    assert seen["authorization"] == "Bearer " + proxy.secrets["api"]
    assert proxy.token() not in json.dumps(seen)
    assert seen.get("sec-websocket-protocol", "").replace(" ", "") == protocols and seen["upgrade"].lower() == "websocket"
    end = proxy.audit(1, event="end", status=101)[0]
    assert (end["verdict"], end["credential"], end["path"]) == ("allow", "api", "/realtime")
    assert end["bytes_up"] > 100_000 or end["bytes_down"] > 1000
    assert len(proxy.audit(1, event="start", id=end["id"])) == 1


@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "node"])
def test_endpoint(keystile, tmp_path, server, client):
    """The token where the secret would go, in a field."""
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    told = speak(proxy, tmp_path, client, url=address(proxy), fields={"Authorization": f"Bearer {proxy.token()}"})
    assert told == ["", DEFLATE if CLIENTS[client][1] else [], 1000]
    check_served(proxy, server)


@pytest.mark.parametrize("client", ["websockets", "ws", "aiohttp", "node"])
def test_token_as_a_protocol(keystile, tmp_path, server, client):
    """It is taken out of the list: the server sees, and chooses from, what is left."""
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    told = speak(proxy, tmp_path, client, url=address(proxy), protocols=["chat", proxy.token(), "other"])
    assert told == ["chat", DEFLATE, 1000]
    check_served(proxy, server, "chat,other")


def test_tls_upstream(keystile, tmp_path, authority):
    server = NodeServer(TOOLS, tmp_path, authority.issue("websocket", ["IP:127.0.0.1"]))
    try:
        proxy = keystile(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca), {"api": evidence.secret()})
        for client in ("websockets", "ws"):
            told = speak(proxy, tmp_path, client, url=address(proxy), fields={"Authorization": f"Bearer {proxy.token()}"})
            assert told == ["", DEFLATE, 1000]
        check_served(proxy, server)
    finally:
        server.close()


def test_forward_proxy(keystile, tmp_path, server):
    """aiohttp asks a proxy for an absolute URL, in the scheme that it was given. It must be http (RFC 6455 4.1)."""
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    way, place = proxy.environment()["HTTP_PROXY"], f"127.0.0.1:{server.port}/realtime"
    assert speak(proxy, tmp_path, "aiohttp", url=f"http://{place}", through=way) == ["", DEFLATE, 1000]
    check_served(proxy, server)
    environment = client_environment(proxy, tmp_path, **settings(f"ws://{place}", through=way))
    assert "400" in run(CLIENTS["aiohttp"][0], environment, tmp_path, check=False).stderr


def test_tunnel(keystile, network, tmp_path):
    """`websockets` takes a proxy by CONNECT; what it says in there is judged, and flows."""
    listener = network.socket()
    listener.bind((TUNNEL, 0))
    listener.listen()
    port = listener.getsockname()[1]
    server = PythonServer(listener=listener)
    network.names.addresses["tun.test"] = TUNNEL
    try:
        hosts = f'[{{ host: "tun.test:{port}", rules: ["allow GET /realtime"] }}]'
        proxy = keystile(one_api("https://api.cred.test", hosts=hosts), {"api": evidence.secret()}, network=network)
        way = f"http://agent:{proxy.proxy_token()}@127.0.0.1:{proxy.port}"
        for path, good in (("/realtime", True), ("/else", False)):
            environment = {**os.environ, **settings(f"ws://tun.test:{port}{path}", through=way)}
            done = network.run(PYTHON, "-c", PYTHON_CLIENT, env=environment, text=True)
            assert (done.returncode == 0) == good, done.stderr
            assert good or "403" in done.stderr
            assert not good or json.loads(done.stdout) == ["", DEFLATE, 1000]
    finally:
        server.close()
    assert len(server.requests) == 1 and "authorization" not in server.requests[0]
    end = proxy.audit(1, event="end", way="connect", status=101)[0]
    assert (end["host"], end["port"], end["path"], end["verdict"], end["injected"]) == ("tun.test", port, "/realtime", "allow", False)


def test_a_server_that_refuses(keystile, tmp_path, origin):
    """The client is told the server's own answer."""
    server = origin(lambda connection: (connection.request(), connection.answer("426 Upgrade Required", "no")))
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    for client in ("websockets", "ws"):
        command, _ = CLIENTS[client]
        fields = {"Authorization": f"Bearer {proxy.token()}"}
        done = run(command, client_environment(proxy, tmp_path, **settings(address(proxy), fields=fields)), tmp_path, check=False)
        assert done.returncode != 0 and "426" in done.stderr
