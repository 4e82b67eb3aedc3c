"""What a new configuration takes away ends, and what it does not lives on (SPEC §11)."""

import os
import signal
import subprocess
import threading

import pytest

from peers import evidence, sanitizers
from peers import standing as forms
from peers.config import BEARER, problem
from peers.h2_origin import speak
from peers.keystile import wait_for
from peers.pace import Pace
from peers.tunnel import echo
from peers.wire import Origin
from test_transparent import EXAMPLE, HEAD, gateway  # noqa: F401

WITHIN = 1.5 if not sanitizers.in_use() else 10  # s: keystile.yaml has to be still for half of one
LIVES = None
STAYS, GOES = "198.51.100.92", "198.51.100.93"
NO_PROFILE, TOKEN, CREDENTIAL, HOST = "profile_revoked", "token_revoked", "credential_revoked", "host_revoked"

# What is done to a profile, each to one of its own. "nothing": only its neighbours change.
CAUSES = ("nothing", "profile", "token", "prefix", "credential", "upstream", "host", "denied", "shut")

# What becomes of what stands: the audit's reason, or LIVES.
STANDS = {
    forms.Tunnel:             (LIVES, NO_PROFILE, TOKEN, LIVES, LIVES, LIVES, HOST, HOST, LIVES),
    forms.SilentTunnel:       (LIVES, NO_PROFILE, TOKEN, LIVES, HOST, HOST, LIVES, LIVES, HOST),
    forms.Handshake:          (LIVES, NO_PROFILE, TOKEN, LIVES, HOST, HOST, LIVES, LIVES, HOST),
    forms.Http2Tunnel:        (LIVES, NO_PROFILE, TOKEN, LIVES, LIVES, LIVES, HOST, HOST, LIVES),
    forms.ForwardedUpgrade:   (LIVES, NO_PROFILE, TOKEN, LIVES, LIVES, LIVES, HOST, HOST, LIVES),
    forms.TunnelledUpgrade:   (LIVES, NO_PROFILE, TOKEN, LIVES, LIVES, LIVES, HOST, HOST, LIVES),
    forms.ReverseUpgrade:     (LIVES, NO_PROFILE, TOKEN, TOKEN, CREDENTIAL, HOST, LIVES, LIVES, HOST),
    forms.InterceptedUpgrade: (LIVES, NO_PROFILE, TOKEN, LIVES, CREDENTIAL, HOST, LIVES, LIVES, HOST),
}

OK = (200, None)
NO_TOKEN, NO_PROXY_TOKEN = (401, "bad_token"), (407, "bad_token")
GONE, REVOKED, NO_HOST, DENIED = (403, "no_profile"), (403, "token_revoked"), (403, "host_not_allowed"), (403, "host_denied")

# The status of the next request on what is kept, and the audit's reason.
KEPT = {
    forms.ReverseKept:      (OK, NO_TOKEN, NO_TOKEN, NO_TOKEN, (404, "no_credential"), OK, OK, OK, DENIED),
    forms.ReverseHttp2:     (OK, NO_TOKEN, NO_TOKEN, NO_TOKEN, (404, "no_credential"), OK, OK, OK, DENIED),
    forms.ForwardKept:      (OK, NO_PROXY_TOKEN, NO_PROXY_TOKEN, OK, OK, OK, NO_HOST, DENIED, OK),
    forms.TunnelKept:       (OK, GONE, REVOKED, OK, OK, OK, NO_HOST, DENIED, OK),
    forms.InterceptedKept:  (OK, GONE, REVOKED, OK, NO_HOST, NO_HOST, OK, OK, DENIED),
    forms.InterceptedHttp2: (OK, GONE, REVOKED, OK, NO_HOST, NO_HOST, OK, OK, DENIED),
}


def text_of(cause, ports, after):
    """Credentials and profile of one cause, before and after it; "" where there is none."""
    does = after and cause
    plain, secure = (("other", "other_secure") if does == "upstream" else ("plain", "secure"))
    prefix = ", token_prefix: sk-" if does == "prefix" else ""
    common = f"secret: env:KEYSTILE_TEST_SECRET, inject: {BEARER}"
    credentials = [
        f"  plain-{cause}: {{ upstream: 'http://127.0.0.1:{ports[plain]}', {common}, env: {{ token: TOKEN{prefix} }} }}\n",
        f"  secure-{cause}: {{ upstream: 'https://localhost:{ports[secure]}', {common}, intercept: true }}\n"]
    places = [f'"127.0.0.1:{ports[name]}"' for name in ("echo", "allowed")]
    places.append(f'{{ host: "127.0.0.1:{ports["passing"]}", intercept: true, http2: tunnel }}')
    if does == "host":
        places = []
    elif does == "denied":
        places += [f'"!127.0.0.1:{ports[name]}"' for name in ("echo", "allowed", "passing")]
    elif does == "shut":
        places += [f'"!127.0.0.1:{ports["plain"]}"', f'"!localhost:{ports["secure"]}"']
    names = [f"plain-{cause}", f"secure-{cause}"]
    if does == "credential":  # of one the name alone stays, for others
        credentials, names = credentials[1:], []
    version = 2 if does == "token" else 1
    profile = f"  {cause}: {{ token_version: {version}, hosts: [{', '.join(places)}], credentials: [{', '.join(names)}] }}\n"
    return "".join(credentials), "" if does == "profile" else profile


def config_text(ports, after=False):
    parts = [text_of(cause, ports, after) for cause in CAUSES]
    return "credentials:\n" + "".join(one for one, _ in parts) + "profiles:\n" + "".join(other for _, other in parts)


def patient(script):
    """The same for who is silent while much else is opened."""

    def run(connection):
        connection.sock.settimeout(60)
        script(connection)

    return run


@pytest.fixture
def world(keystile, origin, authority, context_for):
    """A profile for each cause, and what is behind proxyd."""
    https = authority.server_context()
    servers = {
        "echo": origin(patient(echo)), "passing": origin(speak(), context=context_for(("h2", "http/1.1"))),
        **{name: origin(patient(forms.serve)) for name in ("allowed", "plain", "other")},
        **{name: origin(patient(forms.serve), context=https) for name in ("secure", "other_secure")},
    }
    ports = {name: server.port for name, server in servers.items()}
    go_on = threading.Event()
    for server in servers.values():
        server.go_on = go_on
    proxy = keystile(config_text(ports), start=False)
    proxy.start(env={"SSL_CERT_FILE": str(authority.ca), "KEYSTILE_TEST_SECRET": evidence.secret("revoked")})
    one = forms.World(proxy, **ports)
    one.servers, one.go_on, one.opened = servers, go_on, []
    yield one
    go_on.set()
    for form in one.opened:
        form.close()


def open_all(world, kinds, causes=CAUSES):
    """A list of (FORM, CAUSE, what is open)."""
    found = [(kind, cause, kind(world, cause)) for kind in kinds for cause in causes]
    world.opened += [form for _, _, form in found]
    return found


def lines_of(world, form, **match):
    return world.proxy.audit(event="end", profile=form.profile, **form.audited, **match)


def told_why(world, form, why):
    """Its one line says so."""
    wait_for(lambda: lines_of(world, form, verdict="deny", reason=why), f"an audit line of {form.path} of {form.profile} with {why}")


def test_what_stands(world):
    opened = open_all(world, STANDS)
    events = open_all(world, forms.EVENTS)
    with Pace() as pace:
        world.proxy.take(world.proxy.text.split("credentials:")[0] + config_text(world.ports, after=True))
        for kind, cause, form in opened:
            why = STANDS[kind][CAUSES.index(cause)]
            if why:
                form.over()
                assert pace.passed < WITHIN, (kind, cause)
    for kind, cause, form in opened:
        why = STANDS[kind][CAUSES.index(cause)]
        if why:
            told_why(world, form, why)
        else:
            form.alive()
            assert lines_of(world, form, verdict="deny") == [], (kind, cause)
    world.go_on.set()
    for _, _, form in events:
        form.finish()


# As what has switched already.
LATE = {
    forms.LateReverseUpgrade:     STANDS[forms.ReverseUpgrade],
    forms.LateInterceptedUpgrade: STANDS[forms.InterceptedUpgrade],
    forms.LateForwardedUpgrade:   STANDS[forms.ForwardedUpgrade],
}


def test_a_switch_that_comes_later(world):
    opened = open_all(world, LATE)
    world.proxy.take(world.proxy.text.split("credentials:")[0] + config_text(world.ports, after=True))
    wait_for(lambda: "keystile.yaml: taken" in world.proxy.log(), "the new configuration")
    world.go_on.set()
    for kind, cause, form in opened:
        why = LATE[kind][CAUSES.index(cause)]
        response = form.client.response()
        assert response.status == (403 if why else 101), (kind, cause, response)
        if why:
            problem(response, 403)
            told_why(world, form, why)
        else:
            form.alive()


def is_of(line, form):
    """One whose token shows nobody has no profile there, and no path where none was judged."""
    return line.get("path") in (None, form.path) and line.get("profile") in (None, form.profile)


def test_the_next_request(world):
    opened = open_all(world, KEPT)
    world.proxy.take(world.proxy.text.split("credentials:")[0] + config_text(world.ports, after=True))
    wait_for(lambda: "keystile.yaml: taken" in world.proxy.log(), "the new configuration")
    for kind, cause, form in opened:
        status, why = KEPT[kind][CAUSES.index(cause)]
        assert form.ask() == status, (kind, cause)
        if why:
            wait_for(lambda: any(is_of(line, form) for line in world.proxy.audit(event="end", status=status, reason=why, **form.audited)),
                     f"an audit line with {why} of {form.path} of {cause}")
    assert len(world.servers["other"].requests) == len([kind for kind in KEPT if "Reverse" in kind.__name__])


def test_another_session_key(world):
    """It takes every token away, and one that is none takes nothing."""
    profiles = ("nothing", "host")
    lasting = [kind for kind in STANDS if kind is not forms.Handshake]  # which is over once it was asked whether it is alive
    opened, kept = open_all(world, lasting, profiles), open_all(world, KEPT, profiles)
    key = world.proxy.folder / "session.key"
    good = key.read_bytes()
    key.write_bytes(good[:-1])
    wait_for(lambda: "holds 32 bytes" in world.proxy.log(), "a word on the key")
    key.write_bytes(good)
    wait_for(lambda: "the session key is good again" in world.proxy.log(), "the same key once more")
    assert "another one" not in world.proxy.log()
    for kind, _, form in opened:
        form.alive()
    for kind, cause, form in kept:
        assert form.ask() == 200
    (key.parent / "session.key.new").write_bytes(os.urandom(32))
    with Pace() as pace:
        (key.parent / "session.key.new").rename(key)
        for kind, _, form in opened:
            form.over()
            assert pace.passed < WITHIN, kind
    for _, _, form in opened:
        told_why(world, form, TOKEN)
    for kind, _, form in kept:
        assert form.ask() == KEPT[kind][CAUSES.index("token")][0], kind
    assert world.proxy.log().count("the session key is another one: all tokens of before are void") == 1


def test_nothing_of_it_is_taken_away(world):
    """Comments, new profiles and other secrets end nothing, however often they come."""
    opened = open_all(world, STANDS, ("nothing",)) + open_all(world, KEPT, ("nothing",))
    for number in range(3):
        world.proxy.take(world.proxy.text + f"# {number}\n  new{number}: {{ hosts: [example.org] }}\n")
        world.proxy.process.send_signal(signal.SIGHUP)
        wait_for(lambda: world.proxy.log().count("SIGHUP: ") == number + 1, "a reload")
    assert world.proxy.log().count("keystile.yaml: taken") == 3
    for kind, _, form in opened:
        if kind in STANDS:
            form.alive()
        else:
            assert form.ask() == 200


@pytest.mark.parametrize("before,after", [("http2: tunnel", 'rules: ["deny * /**"]'), ("http2: tunnel", "http2: off"), ("http2: off", "http2: tunnel")])
def test_http2_that_passes_or_not(world, before, after):
    """What waits for its first bytes is not handed over by what was judged before: HTTP/2 would go past rules, and past us."""
    text = world.proxy.text.replace("http2: tunnel", before)
    world.proxy.take(text)
    wait_for(lambda: before == "http2: tunnel" or "keystile.yaml: taken" in world.proxy.log(), "the configuration before")
    opened = open_all(world, [forms.SilentHttp2Tunnel], ("nothing",))
    world.proxy.take(text.replace(before, after))
    for _, _, form in opened:
        form.over()
        told_why(world, form, HOST)


def test_an_address_that_is_denied(world):
    """What has been dialled by a name ends once the address may not be dialled any more, whoever led to it."""
    head, named = world.proxy.text.split("credentials:")[0], config_text(world.ports).replace("127.0.0.1", "localhost")

    def with_addresses(sign, *names):
        entries = "".join(f'"{sign}127.0.0.1:{world.ports[name]}", ' for name in names)
        return head + named.replace("hosts: [", f"hosts: [{entries}")

    world.host = "localhost"
    world.proxy.take(with_addresses("", "echo", "allowed", "passing"))
    wait_for(lambda: "keystile.yaml: taken" in world.proxy.log(), "the configuration with names")
    kinds = [kind for kind in STANDS if kind not in (forms.SilentTunnel, forms.Handshake)]  # which are connected to nothing
    opened = open_all(world, kinds, ("nothing",))
    with Pace() as pace:
        world.proxy.take(with_addresses("!", "echo", "allowed", "passing", "plain", "secure"))
        for kind, _, form in opened:
            form.over()
            assert pace.passed < WITHIN, kind
    for _, _, form in opened:
        told_why(world, form, "address_refused")


def redirected(gateway, to):  # noqa: F811
    """A client that knows of no proxy: what it says and hears is its input and output."""
    client = subprocess.Popen([*gateway.launcher, "ncat", to, "9999"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    ping(client)
    return client


def ping(client):
    client.stdin.write(b"\0ping")
    assert client.stdout.read(5) == b"\0ping"


def test_redirected(keystile, gateway, tmp_path):  # noqa: F811
    """By its host; there is no token that could be taken away."""
    rules = tmp_path / "rules.nft"
    rules.write_text((EXAMPLE / "redirect.nft").read_text().replace("{ 80, 443 }", "{ 9999 }"))
    gateway.rules(rules)
    servers = [Origin(echo, host=host, port=9999, network=gateway.network) for host in (STAYS, GOES)]
    text = 'profiles:\n  coder:\n    token_version: %d\n    hosts: [%s]\n    credentials: []\n'
    proxy = keystile(text % (1, f'"{STAYS}:9999", "{GOES}:9999"'), head=HEAD, network=gateway.network)
    stays, goes = (redirected(gateway, host) for host in (STAYS, GOES))
    with Pace() as pace:
        (proxy.folder / "session.key").write_bytes(os.urandom(32))
        proxy.take(proxy.text.split("profiles:")[0] + text % (2, f'"{STAYS}:9999"'))
        assert goes.stdout.read() == b"" and pace.passed < WITHIN
    proxy.audit(1, event="end", way="transparent", host=GOES, verdict="deny", reason=HOST)
    wait_for(lambda: proxy.log().count("read again"), "the session key")
    ping(stays)
    assert proxy.audit(event="end", host=STAYS) == []
    for client in (stays, goes):
        client.kill()
        client.communicate()
    for server in servers:
        server.close()
