"""Transparent listeners (SPEC §3): the rules of examples/transparent, loaded in a network of their own, take clients that know of
no proxy to us."""

import json
import pathlib
import re

import pytest

from peers import evidence, names
from peers.gateway import Gateway
from peers.network import Network
from peers.nginx import Nginx
from peers.tunnel import echo
from peers.wire import Origin

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/transparent"
ADDRESS, OTHER, NUMBER = "198.51.100.90", "198.51.100.91", "198.51.100.92"
V6 = "2001:db8::1"  # of peers.network; every name leads to ADDRESS, so only the original destination is IPv6
ROUTES = ["rule add fwmark 0x1 lookup 100", "route add local default dev lo table 100"]
ROUTES_6 = ["-6 " + route for route in ROUTES]
CONFIG = """
credentials:
  api:
    upstream: https://api.far.test
    secret: vault:api
    inject: {{ header: Authorization, value: "Bearer {{secret}}" }}
    intercept: true
    ca: {ca}
  shut:
    upstream: https://shut.far.test
    secret: vault:api
    inject: {{ header: Authorization, value: "Bearer {{secret}}" }}
profiles:
  coder:
    hosts: [open.far.test, "{number}", "{number}:9999"]
    credentials: [api, shut]
"""
HEAD = {"listen": '\n  - 127.0.0.1:{port}\n  - {{ transparent: "0.0.0.0:18000", profile: coder }}\n'
                  '  - {{ transparent: "[::]:18000", profile: coder }}'}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    if not names.can_enter():
        pytest.skip("namespaces cannot be made here")
    addresses = {f"{name}.far.test": ADDRESS for name in ("api", "shut", "open")}
    network = Network(tmp_path_factory.mktemp("behind"), addresses, OTHER)
    if network.run("nft", "list", "ruleset").returncode != 0:
        network.close()
        pytest.skip("this kernel has no nf_tables in namespaces")
    one = Gateway(network)
    yield one
    one.close()
    network.close()


@pytest.fixture(scope="module")
def servers(gateway, authority, tmp_path_factory):
    """nginx with TLS at the names' address and at a bare one, and without TLS at port 80."""
    shown = ["DNS:*.far.test", f"IP:{NUMBER}"]
    made = [
        Nginx(tmp_path_factory.mktemp("far"), "", authority.issue("far", shown), gateway.network, ADDRESS, 443),
        Nginx(tmp_path_factory.mktemp("number"), "", authority.issue("number", shown), gateway.network, NUMBER, 443),
        Nginx(tmp_path_factory.mktemp("plain"), "", None, gateway.network, ADDRESS, 80),
    ]
    yield made
    for one in made:
        one.close()


@pytest.fixture
def more():
    """What stands behind the configuration, in profile coder."""
    return ""


@pytest.fixture(params=["redirect", "tproxy"])
def proxy(request, gateway, servers, keystile, authority, tmp_path, more):
    rules = (EXAMPLE / f"{request.param}.nft").read_text().replace("{ 80, 443 }", "{ 80, 443, 9999 }")
    (tmp_path / "rules.nft").write_text(rules)
    first = request.param == "tproxy" and gateway.network.run("ip", "rule", "show").stdout.count(b"lookup 100") == 0
    gateway.rules(tmp_path / "rules.nft", *(ROUTES + (ROUTES_6 if gateway.has_v6() else []) if first else []))
    secret = evidence.secret("transparent")
    one = keystile(CONFIG.format(ca=authority.ca, number=NUMBER) + more, {"api": secret}, HEAD, network=gateway.network)
    one.secret = secret
    for server in servers:
        server.forget()
    return one


def curl(gateway, url, *arguments, to=ADDRESS):
    """curl that resolves every name to one address: what it wants to reach, not what we dial."""
    host = re.match(r"https?://\[?([^/\]:]+)", url).group(1)
    target = f"[{to}]" if ":" in to else to
    resolve = [] if re.fullmatch(r"[0-9.]+", host) else ["--connect-to", f"::{target}:"]
    done = gateway.run("curl", "-sS", "--noproxy", "*", "-m", "20", *resolve, *arguments, url, text=True)
    evidence.EVIDENCE.add("client output", done.stdout + done.stderr)
    return done


@pytest.mark.parametrize("to", [ADDRESS, OTHER, NUMBER, V6])
def test_tls_passes(proxy, gateway, servers, authority, to):
    """By the name that it shows, wherever it wanted to go."""
    if to == V6 and not gateway.has_v6():
        pytest.skip("no IPv6 here")
    done = curl(gateway, "https://open.far.test/say/x", "--cacert", authority.ca, to=to)
    assert (done.stdout, done.stderr) == ("GET /say/x\n", "")
    assert not servers[0].seen(1)[0]["authorization"]
    line = proxy.audit(1, event="end", way="transparent", verdict="allow")[0]
    assert (line["host"], line["port"], line["profile"], "method" in line) == ("open.far.test", 443, "coder", False)
    assert proxy.audit(1, event="start", way="transparent", host="open.far.test")


def test_intercepted(proxy, gateway, servers):
    done = curl(gateway, "https://api.far.test/say/x", "--cacert", proxy.folder / "state/ca.pem", to=OTHER)
    assert (done.stdout, done.stderr) == ("GET /say/x\n", "")
    assert servers[0].seen(1)[0]["authorization"] == f"Bearer {proxy.secret}"
    assert proxy.audit(1, way="intercept", credential="api", profile="coder", injected=True)
    begun, ended = (proxy.audit(1, event=event, way="transparent", host="api.far.test") for event in ("start", "end"))
    assert [line["id"] for line in begun] == [line["id"] for line in ended]


@pytest.mark.parametrize("url", ["https://shut.far.test/", "https://nobody.far.test/", f"https://{OTHER}/"])
def test_tls_is_refused(proxy, gateway, url):
    done = curl(gateway, url, "-k")
    assert done.returncode == 35 and "alert" in done.stderr, done
    line = proxy.audit(1, event="end", way="transparent", verdict="deny")[0]
    assert line["host"] in url and line["port"] == 443 and line["profile"] == "coder"


def test_an_address(proxy, gateway, authority):
    """Without a name the original address is what is judged, and what is dialled."""
    done = curl(gateway, f"https://{NUMBER}/say/x", "--cacert", authority.ca)
    assert (done.stdout, done.stderr) == ("GET /say/x\n", "")


@pytest.mark.parametrize("host,status", [("open.far.test", 200), ("nobody.far.test", 403), ("open.far.test:81", 421)])
def test_plain(proxy, gateway, servers, host, status):
    done = curl(gateway, "http://open.far.test/say/x", "-H", f"Host: {host}", "-w", "\n%{http_code}", to=OTHER)
    body, code = done.stdout.rsplit("\n", 1)
    assert int(code) == status, done
    if status == 200:
        assert body == "GET /say/x\n" and servers[2].seen(1)[0]["host"] == "open.far.test"
    else:
        assert json.loads(body)["status"] == status
        assert proxy.audit(1, event="end", way="transparent", verdict="deny", profile="coder")


def test_plain_to_a_credential(proxy, gateway, servers):
    """As in absolute-form: injected, and sent to its upstream, which speaks TLS."""
    done = curl(gateway, "http://api.far.test/say/x")
    assert done.stdout == "GET /say/x\n", done
    assert servers[0].seen(1)[0]["authorization"] == f"Bearer {proxy.secret}"


def test_the_first_host_stays(proxy, gateway, servers):
    done = curl(gateway, "http://open.far.test/say/b", "http://open.far.test/say/a", "-H", "Host: open.far.test", "-w", "%{http_code}\n")
    assert done.stdout == "GET /say/a\n200\nGET /say/b\n200\n", done
    script = "GET /say/a HTTP/1.1\r\nHost: open.far.test\r\n\r\nGET /say/b HTTP/1.1\r\nHost: api.far.test\r\nConnection: close\r\n\r\n"
    done = gateway.run("ncat", "--no-shutdown", ADDRESS, "80", input=script.encode())
    assert done.stdout.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 421" in done.stdout, done
    assert [seen["uri"] for seen in servers[2].seen(3)] == ["/say/a", "/say/b", "/say/a"]


def test_the_first_host_stays_after_a_rest(proxy, gateway, servers):
    """A connection that rests is looked at again, as from its beginning."""
    ask = "printf 'GET /say/{} HTTP/1.1\r\nHost: {}.far.test\r\n\r\n'"
    done = gateway.run("sh", "-c", f"({ask.format('a', 'open')}; sleep 2; {ask.format('b', 'api')}) | ncat -i 10 {ADDRESS} 80")
    assert done.stdout.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 421" in done.stdout, done
    assert [seen["uri"] for seen in servers[2].seen(1)] == ["/say/a"]


def test_a_server_that_speaks_first(proxy, gateway):
    """At an address and port that an entry names."""
    def greet(connection):
        connection.send(b"hello\n")
        echo(connection)

    server = Origin(greet, host=NUMBER, port=9999, network=gateway.network)
    try:
        done = gateway.run("ncat", "--no-shutdown", "-i", "4", NUMBER, "9999", input=b"")
        assert done.stdout == b"hello\n"
        done = gateway.run("ncat", NUMBER, "9999", input=b"\x00\x01echo")
        assert done.stdout == b"hello\n\x00\x01echo"
    finally:
        server.close()


@pytest.mark.parametrize("more", ["    rate: 2/h\n"])
def test_rate(proxy, gateway, authority, more):
    """A redirected connection counts as a tunnel does. Over the rate there is nobody to answer: it is closed, also at an address
    and port where the server would speak first, and TLS gets an alert."""
    server = Origin(lambda connection: connection.send(b"hello\n"), host=NUMBER, port=9999, network=gateway.network)
    try:
        assert gateway.run("ncat", "--no-shutdown", "-i", "2", NUMBER, "9999", input=b"").stdout == b"hello\n"
        assert curl(gateway, "https://open.far.test/say/x", "--cacert", authority.ca).stdout == "GET /say/x\n"
        done = curl(gateway, "https://open.far.test/say/x", "--cacert", authority.ca)
        assert done.returncode == 35 and "alert" in done.stderr, done
        assert gateway.run("ncat", "--no-shutdown", NUMBER, "9999", input=b"").stdout == b""
    finally:
        server.close()
    lines = proxy.audit(2, event="end", way="transparent", verdict="deny", reason="rate", profile="coder")
    refused = {(line["host"], line["port"], "status" in line) for line in lines}  # two workers have no order
    assert len(lines) == 2 and refused == {("open.far.test", 443, False), (NUMBER, 9999, False)}
    assert len(server.connections) == 1


@pytest.mark.parametrize("first", [b"\x00\x01\x02", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x02xx"])
def test_what_is_neither(proxy, gateway, first):
    done = gateway.run("ncat", ADDRESS, "443", input=first)
    assert not done.stdout or done.stdout[:1] == b"\x15" or b"400 Bad Request" in done.stdout
    assert proxy.audit(1, event="end", way="transparent")


def test_ourselves(proxy, gateway):
    """Who connects to the listener itself was not redirected; there is nothing to dial but us."""
    done = gateway.run("curl", "-sk", "-m", "20", "https://10.77.0.1:18000/")
    assert done.returncode == 35
    assert proxy.audit(1, event="end", way="transparent", verdict="deny")


def test_examples_configuration(keystile):
    one = keystile("profiles:\n  coder: {}\n", start=False)
    one.config.write_text((EXAMPLE / "keystile.yaml").read_text())
    done = one.check()
    assert done.returncode == 0, done.err
