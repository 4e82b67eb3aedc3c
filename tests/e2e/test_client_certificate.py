"""`client:` of a credential: towards its upstream, and no other, TLS shows this certificate with this key (SPEC §2)."""

import json
import re
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from peers import evidence, sanitizers
from peers.authority import Authority
from peers.config import BEARER, get, one_api, problem
from peers.h2 import H2
from peers.h2_origin import Came, speak
from peers.keystile import clean_environment, free_port, wait_for
from peers.nginx import Nginx
from peers.tunnel import open_tunnel
from peers.wire import Message
from test_canary import mappings
from test_upgrade import ASKS, switching
from test_ways import admin_get, proxied

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """The CA of clients, another one than that of the servers, so that nobody passes with a server's certificate."""
    return Authority(tmp_path_factory.mktemp("clients"), "Clients' CA")


@pytest.fixture(scope="module")
def own(clients):
    """The certificate and key that most tests show."""
    return clients.client("own")


@pytest.fixture(scope="module")
def wanting(tmp_path_factory, authority, clients):
    """wanting(MORE, VERIFY) is an nginx that asks for client certificates; each is made once."""
    made = {}

    def make(more="", verify="optional"):
        if (more, verify) not in made:
            text = f"ssl_client_certificate {clients.ca}; ssl_verify_client {verify}; ssl_verify_depth 3; {more}"
            made[more, verify] = Nginx(tmp_path_factory.mktemp("wanting"), text, authority.issue("wanting", ["IP:127.0.0.1", "DNS:localhost"]))
        made[more, verify].forget()
        return made[more, verify]

    yield make
    for one in made.values():
        one.close()


def client(cert, key="vault:key"):
    return f'{{ cert: {cert}, key: "{key}" }}'


def two(upstream, ca, shows):
    """Two credentials of one upstream; `api` shows a certificate, `plain` none. The profile `agent` has both, `other` has `plain`."""
    text = one_api(upstream, ca=ca, client=shows)
    other = f"  plain:\n    upstream: {upstream}\n    secret: vault:api\n    inject: {BEARER}\n    ca: {ca}\n    env: {{ token: PLAIN_TOKEN }}\n"
    return text.replace("profiles:\n", other + "profiles:\n  other: { credentials: [plain] }\n").replace("[api]", "[api, plain]")


def lines_of(key):
    """The lines of a key that stand in no other."""
    return [line for line in key.read_text().splitlines() if not line.startswith("-") and len(line) > 30]


@pytest.fixture
def proxy_of(keystile, authority):
    """proxy_of(CONFIG, KEY, SECRETS) starts proxyd with the vault's `key`; nothing that it says at the end has a line of that."""
    keys = []

    def make(config, key=None, secrets=None, start=True, env=None, **more):
        one = keystile(config, {"api": evidence.secret("client"), **({"key": key.read_text()} if key else {}), **(secrets or {})}, start=False, **more)
        keys.extend([(one, key)] if key else [])
        return one.start("-v", env={"SSL_CERT_FILE": str(authority.ca), **(env or {})}) if start else one

    yield make
    for one, key in keys:
        said = one.log() + "".join(path.read_text() for path in one.folder.glob("*.jsonl"))
        assert not [line for line in lines_of(key) if line in said], "the key stands in a log"


def ask(proxy, name="api", path="/say/x", token=None):
    return proxy.ask(get(f"/{name}{path}", token or proxy.token("API_TOKEN" if name == "api" else "PLAIN_TOKEN")))


def ready(proxy):
    """What waits and what is stale, as /readyz tells."""
    told = json.loads(admin_get(proxy, "/readyz").body)
    return told["waiting"], told["stale"]


def matching(text, pattern):
    assert re.search(pattern, text), f"{pattern!r} is not in {text!r}"


# What is shown


FORMS = {
    "as openssl writes it": [],
    "PKCS #1": ["rsa", "-traditional"],
    "SEC 1": ["ec"],
}


@pytest.mark.parametrize("kind,form", [("ec", "as openssl writes it"), ("rsa", "as openssl writes it"), ("ed25519", "as openssl writes it"),
                                       ("rsa", "PKCS #1"), ("ec", "SEC 1")])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_shown(proxy_of, wanting, authority, clients, version, kind, form):
    cert, key = clients.client(f"shown-{kind}", kind)
    if FORMS[form]:
        clients.openssl(*FORMS[form], "-in", str(key), "-out", "other.key")
        key = clients.folder / "other.key"
        assert "BEGIN PRIVATE KEY" not in key.read_text()
    server = wanting(f"ssl_protocols {version};")
    proxy = proxy_of(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca, client=client(cert)), key)
    assert ask(proxy).status == 200
    (seen,) = server.seen(1)
    assert (seen["client"], seen["tls"], seen["authorization"]) == (f"CN=shown-{kind}", version, f"Bearer {proxy.secrets['api']}")


def test_chain(proxy_of, wanting, clients):
    """The certificates of the file go along, and what the server names as the CA that it takes is nowhere in the first one. The
    server is verified by the system's roots."""
    clients.client("middle", more="basicConstraints=critical,CA:TRUE\n")
    cert, key = clients.client("below", ca="middle")
    chain = clients.folder / "chain.pem"
    chain.write_text(cert.read_text() + (clients.folder / "middle.pem").read_text())
    server = wanting()
    proxy = proxy_of(one_api(f"https://127.0.0.1:{server.port}", client=client(chain)), key)
    assert ask(proxy).status == 200 and server.seen(1)[0]["client"] == "CN=below"


def key_source(kind, folder, key):
    """The source's text, and the environment that it needs."""
    text = key.read_text()
    if kind == "env":
        return "env:CLIENT_KEY", {"CLIENT_KEY": text}
    if kind == "env, \\n":
        return "env:CLIENT_KEY", {"CLIENT_KEY": text.replace("\n", "\\n")}
    if kind == "systemd":
        (folder / "ck").write_text(text)
        return "systemd:ck", {"CREDENTIALS_DIRECTORY": str(folder)}
    if kind == "file, with its certificate in front":
        (folder / "both").write_text("Bag Attributes\n    friendlyName: x\n" + key.with_suffix(".pem").read_text() + text)
        return f"file:{folder}/both", {}
    return {"file": f"file:{key}", "exec": f"exec:cat {key}"}[kind], {}


@pytest.mark.parametrize("kind", ["file", "env", "env, \\n", "systemd", "exec", "file, with its certificate in front"])
def test_sources_of_the_key(proxy_of, wanting, authority, own, tmp_path, kind):
    source, env = key_source(kind, tmp_path, own[1])
    server = wanting()
    proxy = proxy_of(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca, client=client(own[0], source)), env=env)
    assert ask(proxy).status == 200 and server.seen(1)[0]["client"] == "CN=own"


def test_key_set_from_a_file(proxy_of, wanting, authority, own):
    """SPEC §10: creds set takes it whole by --from-file; and names who uses it."""
    server = wanting()
    proxy = proxy_of(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca, client=client(own[0])), start=False)
    said = proxy.creds("set", "key", "--from-file", own[1])
    assert not said.err and "api" in proxy.creds("list").out.split("key", 1)[1]
    proxy.start()
    assert ask(proxy).status == 200 and server.seen(1)[0]["client"] == "CN=own"


def test_by_http2_and_in_intercepted_tls(proxy_of, origin, authority, clients, own):
    """HTTP/2 to the upstream, a client inside TLS that proxyd ends by either protocol, and one at the endpoint."""
    context = authority.server_context("h2-wanting", alpn=("h2", "http/1.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.ca)
    server = origin(speak(), context=context)
    name = f"localhost:{server.port}"
    proxy = proxy_of(one_api(f"https://{name}", ca=authority.ca, intercept="true", client=client(own[0])), own[1])
    with H2(proxy) as one:
        assert one.ask("/api/a").body == b"ok"
    for alpn in ("h2", "http/1.1"):
        tunnel = open_tunnel(proxy, name, proxy.proxy_token())
        inner = ssl.create_default_context(cafile=proxy.folder / "state/ca.pem")
        inner.set_alpn_protocols([alpn])
        tunnel.sock = inner.wrap_socket(tunnel.sock, server_hostname="localhost")
        if alpn == "h2":
            with H2(proxy, stream=tunnel) as one:
                assert one.ask("/b", authority=name, scheme="https", token=None).body == b"ok"
        else:
            with tunnel:
                assert tunnel.ask(get("/c", None, host=name)).status == 200
    assert [type(came) for came in server.requests] == [Came, Came, Message]
    for connection in server.connections:
        assert connection.sock.getpeercert()["subject"] == ((("commonName", "own"),),)


def test_upgrade(proxy_of, origin, authority, clients, own):
    context = authority.server_context("upgrade-wanting")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.ca)
    server = origin(switching(), context=context)
    proxy = proxy_of(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca, client=client(own[0])), own[1])
    with proxy.client() as one:
        one.send(get("/api/x", proxy.token(), *ASKS))
        assert one.head().status == 101
        one.send(b"there and back")
        assert one.exactly(14) == b"there and back"
        assert server.connections[0].sock.getpeercert()["subject"] == ((("commonName", "own"),),)


# To nobody else


@pytest.mark.parametrize("by", ["HTTP/1.1", "HTTP/2"])
def test_shown_by_no_other(proxy_of, wanting, authority, own, by):
    """To one host and port: by the credential that has it, on connections of its own; not by the one beside it, in whatever profile,
    nor to an allowed host."""
    server = wanting()
    config = two(f"https://localhost:{server.port}", authority.ca, client(own[0])).replace("hosts: []", f'hosts: ["127.0.0.1:{server.port}"]')
    proxy = proxy_of(config, own[1], head={"workers": "1"})
    tokens = {"api": proxy.token(), "plain": proxy.token("PLAIN_TOKEN"), "other": proxy.token("PLAIN_TOKEN", "other")}
    endpoints = {"api": "api", "plain": "plain", "other": "plain"}
    seen = []
    with H2(proxy) as one, proxy.client() as plain:
        for who in ("api", "plain", "other", "api", "plain", "host", "api", "host"):
            if who == "host":
                answer = plain.ask(proxied(f"https://127.0.0.1:{server.port}/say/x", proxy.proxy_token()))
            elif by == "HTTP/2":
                answer = one.ask(f"/{endpoints[who]}/say/x", token=tokens[who])
            else:
                answer = plain.ask(get(f"/{endpoints[who]}/say/x", tokens[who]))
            assert answer.status == 200
            seen.append((who, server.seen(1)[0]))
    shown = {who: {line["client"] for name, line in seen if name == who} for who in ("api", "plain", "other", "host")}
    assert shown == {"api": {"CN=own"}, "plain": {""}, "other": {""}, "host": {""}}
    used = {who: {line["connection"] for name, line in seen if name == who} for who in shown}
    assert len(used["api"]) == len(used["plain"]) == len(used["host"]) == 1, used
    assert not used["api"] & (used["plain"] | used["other"] | used["host"]), used
    protocol = {line["protocol"] for name, line in seen if name != "host"}
    assert protocol == {"HTTP/2.0" if by == "HTTP/2" else "HTTP/1.1"}


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_tickets_are_its_own(proxy_of, wanting, authority, clients, own, version):
    """Each request has a connection. A session that is resumed is one of the same credential: the server takes it for whoever
    showed a certificate in it, without seeing that again."""
    server = wanting(f"ssl_protocols {version}; keepalive_timeout 0;")
    proxy = proxy_of(two(f"https://127.0.0.1:{server.port}", authority.ca, client(own[0])), own[1], head={"workers": "1"})
    order = ["api", "api", "plain", "plain", "api", "plain"]
    seen = []
    for who in order:
        assert ask(proxy, who).status == 200
        seen += server.seen(1)
    assert [line["client"] for line in seen] == [{"api": "CN=own", "plain": ""}[who] for who in order]
    assert [line["resumed"] for line in seen] == [".", "r", ".", "r", "r", "r"]


def test_the_same_certificate_in_two_credentials(proxy_of, wanting, authority, own):
    server = wanting()
    config = two(f"https://127.0.0.1:{server.port}", authority.ca, client(own[0]))
    config = config.replace("    env: { token: PLAIN_TOKEN }", f"    client: {client(own[0])}\n    env: {{ token: PLAIN_TOKEN }}")
    proxy = proxy_of(config, own[1], head={"workers": "1"})
    connections = {}
    for who in ("api", "plain", "api", "plain"):
        assert ask(proxy, who).status == 200
        (line,) = server.seen(1)
        assert line["client"] == "CN=own"
        connections.setdefault(who, set()).add(line["connection"])
    assert len(connections["api"]) == len(connections["plain"]) == 1 and connections["api"] != connections["plain"]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("who", ["the upstream", "somebody in its place"])
def test_shown_to_nobody_unverified(proxy_of, authority, own, s_server, tmp_path, version, who):
    """Who asks for it, and shows a certificate that is not the upstream's, gets none: in TLS 1.2 it would go there in the clear."""
    said = tmp_path / "said"
    port = s_server(version, "-msg", "-msgfile", str(said))
    ca = authority.ca if who == "the upstream" else Authority(tmp_path / "other", "Another CA").ca
    proxy = proxy_of(one_api(f"https://127.0.0.1:{port}", ca=ca, client=client(own[0])), own[1])
    answer = ask(proxy, path="/")
    came = [line for line in said.read_text().splitlines() if line.startswith("<<<")]
    shown = [line for line in came if line.endswith(", Certificate")]
    assert came and any(line.endswith(", CertificateRequest") for line in said.read_text().splitlines())
    if who == "the upstream":
        assert answer.status == 200 and len(shown) == 1
    else:
        assert "not trusted here" in problem(answer, 502)["detail"] and not shown


# As time goes by


@pytest.fixture
def rotating(proxy_of, wanting, authority, clients, tmp_path):
    """proxyd with a certificate and a key in files; show(LABEL, cert=…, key=…) puts another pair there, or a half of it."""
    server = wanting()
    made = {label: clients.client(label) for label in ("first", "second")}
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"

    def show(label, which=("cert", "key")):
        for path, source, name in ((cert, made[label][0], "cert"), (key, made[label][1], "key")):
            if name in which:
                path.write_text(source.read_text())

    show("first")
    config = two(f"https://127.0.0.1:{server.port}", authority.ca, client(cert, f"file:{key}"))
    proxy = proxy_of(config, head={"workers": "1"})
    proxy.show, proxy.cert, proxy.key, proxy.server = show, cert, key, server

    def seen():
        assert ask(proxy).status == 200
        (line,) = server.seen(1)
        return line["client"], line["connection"], line["resumed"]

    proxy.seen = seen
    return proxy


def test_rotated(rotating):
    """The next connection shows the new one, resumes nothing of the old one, and old connections are not used again."""
    name, first, _ = rotating.seen()
    assert name == "CN=first" and rotating.seen()[1] == first
    rotating.hang_up()
    assert rotating.seen()[1] == first, "nothing has changed"
    rotating.show("second")
    rotating.hang_up()
    name, second, resumed = rotating.seen()
    assert (name, resumed) == ("CN=second", ".") and second != first
    assert rotating.seen()[1] == second
    rotating.show("first")
    rotating.hang_up()
    name, third, resumed = rotating.seen()
    assert (name, resumed) == ("CN=first", ".") and third not in (first, second)
    assert ready(rotating) == ([], [])


def test_rotated_under_requests(rotating):
    """Requests by HTTP/1.1 and HTTP/2, on kept and on new connections, while the pair changes: each shows one of the two, and what
    comes behind a look shows what that found."""
    token, ended, counts = rotating.token("API_TOKEN"), threading.Event(), []

    def by_http1():
        while not ended.is_set():
            with rotating.client() as one:
                counts.extend(one.ask(get("/api/say/x", token)).status for _ in range(3))

    def by_http2():
        while not ended.is_set():
            with H2(rotating) as one:
                counts.extend(one.ask("/api/say/x", token=token).status for _ in range(3))

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(one) for one in (by_http1, by_http2, by_http1, by_http2)]
        try:
            for number in range(12):
                before = len(counts)
                wait_for(lambda: len(counts) > before + 3 or any(one.done() for one in clients), "requests")
                rotating.show(("second", "first")[number % 2])
                rotating.hang_up()
        finally:
            ended.set()
        for one in clients:
            one.result()
    assert set(counts) == {200}
    assert {line["client"] for line in rotating.server.seen(len(counts))} == {"CN=first", "CN=second"}
    assert rotating.seen()[0] == "CN=first"


@pytest.mark.parametrize("half", ["cert", "key"])
def test_rotated_by_halves(rotating, half):
    """A pair that is none leaves the one before, which is told; the other half makes it whole."""
    _, first, _ = rotating.seen()
    rotating.show("second", [half])
    rotating.hang_up()
    assert rotating.seen() == ("CN=first", first, ".")
    waiting, stale = ready(rotating)
    assert waiting == [] and [one["credential"] for one in stale] == ["api"] and "client.key: it is not the key of the certificate in " in stale[0]["why"]
    assert "api goes on with its last good client certificate: client.key" in rotating.log()
    rotating.show("second")
    rotating.hang_up()
    assert rotating.seen()[0] == "CN=second" and ready(rotating) == ([], [])


@pytest.mark.parametrize("what", ["cert gone", "key gone", "cert broken", "key broken", "key empty"])
def test_gone_or_broken_later(rotating, what):
    name, how = what.split()
    path = getattr(rotating, name)
    _, first, _ = rotating.seen()
    path.unlink() if how == "gone" else path.write_text("" if how == "empty" else "nothing\n")
    rotating.hang_up()
    assert rotating.seen() == ("CN=first", first, ".")
    waiting, stale = ready(rotating)
    assert (waiting, len(stale)) == ([], 1)


def test_not_there_yet(rotating_without):
    """503 for that credential only, and once the key is there it works."""
    proxy = rotating_without
    answer = ask(proxy)
    told = problem(answer, 503)
    assert answer.get("Retry-After") and "k.pem: No such file" in told["detail"], told
    assert ask(proxy, "plain").status == 200 and proxy.server.seen(1)[0]["client"] == ""
    waiting, _ = ready(proxy)
    assert [one["credential"] for one in waiting] == ["api"] and admin_get(proxy, "/readyz?all").status == 503
    assert "credential api is not ready and answers 503: file:" in proxy.log()
    proxy.show("first")
    proxy.hang_up()
    assert proxy.seen()[0] == "CN=first" and ready(proxy) == ([], [])


@pytest.fixture
def rotating_without(rotating):
    """The same, started without the key."""
    rotating.stop()
    rotating.key.unlink()
    return rotating.start("-v")


def test_taken_out_of_the_vault(proxy_of, wanting, authority, clients, own):
    """What its operator took away is not used on; another one that is put there is."""
    server = wanting()
    proxy = proxy_of(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca, client=client(own[0])), own[1])
    assert ask(proxy).status == 200
    proxy.creds("rm", "key")
    proxy.hang_up()
    assert "creds set key" in problem(ask(proxy), 503)["detail"]
    proxy.creds("set", "key", input=own[1].read_text())
    proxy.hang_up()
    assert ask(proxy).status == 200 and {line["client"] for line in server.seen(2)} == {"CN=own"}


# What is wrong with it


@pytest.fixture(scope="module")
def wrong(clients, own, tmp_path_factory):
    """wrong(WHAT) is a certificate and a key of which something is wrong."""
    folder = tmp_path_factory.mktemp("wrong")

    def make(what):
        cert, key = folder / "c.pem", folder / "k.pem"
        cert.write_text(own[0].read_text())
        key.write_text(own[1].read_text())
        if what == "another's key":
            key.write_text(clients.client("another")[1].read_text())
        elif what == "no key":
            key.write_text(own[0].read_text())
        elif what == "cut key":
            key.write_text("\n".join(own[1].read_text().splitlines()[:-1]))
        elif what == "damaged key":
            key.write_text(own[1].read_text().replace("MIG", "M!G"))
        elif what == "key of another kind":
            clients.openssl("genpkey", "-algorithm", "X25519", "-out", str(key))
        elif what == "key under a passphrase":
            clients.openssl("pkey", "-in", str(own[1]), "-aes128", "-passout", "pass:x", "-out", str(key))
        elif what == "old key under a passphrase":
            clients.openssl("ec", "-in", str(own[1]), "-aes128", "-passout", "pass:x", "-out", str(key))
        elif what == "no certificate":
            cert.write_text("nothing\n")
        elif what == "damaged certificate":
            cert.write_text(own[0].read_text().replace("MII", "MIJ"))
        elif what == "its CA in front":
            cert.write_text(clients.ca.read_text() + own[0].read_text())
        elif what == "not there":
            cert.unlink()
        return cert, key

    return make


WRONG = {
    "another's key": r"client\.key: it is not the key of the certificate in \S+/c\.pem",
    "no key": r"client\.key: there is no PEM private key in it",
    "cut key": r"client\.key: the PEM private key has no end",
    "damaged key": r"client\.key: the PEM private key is damaged",
    "key of another kind": r"client\.key: ",
    "key under a passphrase": r"client\.key: the key is under a passphrase, .*: openssl pkey ",
    "old key under a passphrase": r"client\.key: the key is under a passphrase, .*: openssl pkey ",
    "no certificate": r"client\.cert: \S+/c\.pem: there is no PEM certificate in it",
    "damaged certificate": r"client\.cert: \S+/c\.pem: ",
    "its CA in front": r"client\.key: it is the key of certificate 2 in \S+/c\.pem; put that one first",
    "not there": r"client\.cert: \S+/c\.pem: No such file or directory",
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong(proxy_of, authority, wanting, wrong, what):
    """Told by --check with its place, at start, in /readyz and to the client; the credential beside it works."""
    cert, key = wrong(what)
    server = wanting()
    proxy = proxy_of(two(f"https://127.0.0.1:{server.port}", authority.ca, client(cert)), key, start=False)
    place = 1 + next(number for number, line in enumerate(proxy.text.splitlines()) if "client:" in line)
    checked = proxy.check()
    told = f"{proxy.config}:{place}:13: credential api is not ready and answers 503: "
    matching(checked.err, "proxyd: warning: " + re.escape(told) + WRONG[what])
    assert (checked.returncode, checked.err.count("\n")) == (0, 1)
    proxy.start("-v")
    matching(proxy.log(), "credential api is not ready and answers 503: " + WRONG[what])
    answer = ask(proxy)
    detail = problem(answer, 503)["detail"]
    matching(detail, WRONG[what])
    assert answer.get("Retry-After") == "5"
    assert ask(proxy, "plain").status == 200
    waiting, _ = ready(proxy)
    assert [one["credential"] for one in waiting] == ["api"]
    matching(waiting[0]["why"], WRONG[what])
    for line in lines_of(key):
        assert line not in checked.err + detail + waiting[0]["why"]


UNFIT = {
    "expired": ({"days": ("20200101000000Z", "20210203000000Z")}, "it expired on 2021-02-03"),
    "not yet": ({"days": ("20800102000000Z", "20900101000000Z")}, "it is not valid before 2080-01-02; is this machine's clock right?"),
    "for servers": ({"purpose": "serverAuth"}, "it is not for clients: its extendedKeyUsage has no clientAuth"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_unfit(proxy_of, authority, clients, s_server, what):
    """It is shown all the same: whose clock is right, and what else it is good for, the upstream says. A warning tells."""
    cert, key = clients.client(what.replace(" ", "-"), **UNFIT[what][0])
    port = s_server("-tls1_3")
    proxy = proxy_of(one_api(f"https://127.0.0.1:{port}", ca=authority.ca, client=client(cert)), key, start=False)
    checked = proxy.check()
    told = f"proxyd: warning: {proxy.config}:16:13: upstreams may refuse the client certificate of api: {UNFIT[what][1]}\n"
    assert (checked.returncode, checked.err) == (0, told)
    proxy.start("-v")
    assert told in proxy.log()
    detail = problem(ask(proxy), 502)["detail"]
    matching(detail, r"did not take the client certificate that was shown \(its alert: .*\); " + re.escape(UNFIT[what][1]))


def test_not_over_plain_http(proxy_of, own):
    proxy = proxy_of(one_api("https://127.0.0.1:9", client=client(own[0])), start=False)
    proxy.config.write_text(proxy.text.replace("https:", "http:"))
    checked = proxy.check()
    assert checked.returncode == 1
    matching(checked.err, r'keystile\.yaml:\d+:13: "client" is a certificate for TLS, and the upstream has http://')


# What upstreams say


@pytest.fixture
def s_server(authority, clients):
    """s_server(OPTIONS) starts openssl's server, which demands a certificate, and gives its port."""
    made = []
    cert, key = authority.issue("s-server", ["IP:127.0.0.1"])

    def start(*options):
        port = free_port()
        made.append(subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", key, "-CAfile", clients.ca, "-Verify", "2",
             "-verify_return_error", "-www", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment()))
        for line in made[-1].stdout:
            if line.strip() == b"ACCEPT":
                return port
        raise AssertionError("openssl s_server ended")

    yield start
    for one in made:
        one.kill()
        one.wait()
        one.stdin.close()
        one.stdout.close()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_taken_by_openssl(proxy_of, authority, own, s_server, version):
    port = s_server(version)
    proxy = proxy_of(one_api(f"https://127.0.0.1:{port}", ca=authority.ca, client=client(own[0])), own[1])
    for _ in range(2):
        answer = ask(proxy, path="/")
        assert answer.status == 200 and b"s_server" in answer.body


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("shows", ["another CA's", "none"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused(proxy_of, authority, s_server, tmp_path, version, shows, method):
    """With TLS 1.3 the alert comes when the client has shaken hands already, and sent its request."""
    cert, key = Authority(tmp_path, "Another CA").client("stranger")
    port = s_server(version)
    proxy = proxy_of(two(f"https://127.0.0.1:{port}", authority.ca, client(cert)), key)
    name = "plain" if shows == "none" else "api"
    token = proxy.token("PLAIN_TOKEN" if shows == "none" else "API_TOKEN")
    body = "" if method == "GET" else "x" * 100000
    fields = [f"Content-Length: {len(body)}"] * bool(body)
    answer = proxy.ask(get(f"/{name}/x", token, *fields, method=method) + body)
    told = problem(answer, 502)
    words = "the server wants a client certificate, and none was shown" if shows == "none" else "the server did not take the client certificate that was shown"
    matching(told["detail"], rf"^127\.0\.0\.1: {words} \(its alert: .+\)$")
    assert "tls_alert_received" in answer.get("Proxy-Status") and "client:" in told["hint"]
    assert proxy.audit(1, event="end")[0]["reason"] == "client_certificate_refused"


@pytest.mark.parametrize("version,kind,usage,words", [
    ("-tls1_2", "ec", "", "the client certificate cannot be shown: the server takes no signature by its kind of key"),
    ("-tls1_2", "rsa", "keyAgreement", "the client certificate cannot be shown: its keyUsage has no digitalSignature"),
    ("-tls1_3", "ec", "", r"the server takes no signature by the client certificate's kind of key, so that was not shown \(its alert: .+\)"),
])
def test_not_fit_to_be_shown(proxy_of, authority, clients, s_server, version, kind, usage, words):
    """Nothing is wrong with the upstream's certificate then, and the words and the hint are of ours."""
    cert, key = clients.client("unfit-" + (usage or kind), kind, more=f"keyUsage={usage}\n" if usage else "")
    port = s_server(version, "-client_sigalgs", "RSA+SHA256:rsa_pss_rsae_sha256")
    proxy = proxy_of(one_api(f"https://127.0.0.1:{port}", ca=authority.ca, client=client(cert)), key)
    told = problem(ask(proxy), 502)
    matching(told["detail"], rf"^127\.0\.0\.1: {words}$")
    assert "client:" in told["hint"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shows", ["another CA's", "none"])
def test_refused_by_http2(proxy_of, origin, authority, clients, tmp_path, version, shows):
    cert, key = Authority(tmp_path, "Another CA").client("stranger")
    context = authority.server_context("h2-refusing", alpn=("h2",))
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.ca)
    server = origin(speak(), context=context)
    proxy = proxy_of(two(f"https://127.0.0.1:{server.port}", authority.ca, client(cert)), key)
    name = "plain" if shows == "none" else "api"
    with H2(proxy) as one:
        answer = one.ask(f"/{name}/x", token=proxy.token("PLAIN_TOKEN" if shows == "none" else "API_TOKEN"))
    assert answer.status == 502 and server.requests == []
    matching(answer.body.decode(), "wants a client certificate, and none was shown" if shows == "none" else "did not take the client certificate that was shown")


@pytest.mark.parametrize("shows,words", [("another CA's", b"The SSL certificate error"), ("none", b"No required SSL certificate was sent")])
def test_refused_by_nginx(proxy_of, wanting, authority, tmp_path, shows, words):
    """Its answer is the upstream's, and passes as any other. A certificate whose CA it does not name is shown to it all the same."""
    cert, key = Authority(tmp_path, "Another CA").client("stranger")
    server = wanting(verify="on")
    proxy = proxy_of(two(f"https://127.0.0.1:{server.port}", authority.ca, client(cert)), key)
    answer = ask(proxy, "plain" if shows == "none" else "api")
    assert answer.status == 400 and words in answer.body


# The key


def test_key_in_guarded_memory_alone(proxy_of, wanting, authority, own):
    """As it was read, that is: GnuTLS has numbers that it made of it. A line of the public half alone may stand in the certificate
    too, of which GnuTLS leaves the text about."""
    if sanitizers.in_use():
        pytest.skip("a sanitizer keeps freed memory as it was")
    server = wanting()
    proxy = proxy_of(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca, client=client(own[0], f"file:{own[1]}")))
    assert ask(proxy).status == 200
    proxy.hang_up()
    public = own[0].read_text().replace("\n", "")
    private = [line for line in lines_of(own[1]) if line not in public]
    found = []
    with open(f"/proc/{proxy.process.pid}/mem", "rb", buffering=0) as memory:
        for start, end, flags in mappings(proxy.process.pid):
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            found += [sorted(flags) for line in private if line.encode() in data]
    assert found and all("dd" in flags for flags in found), found
