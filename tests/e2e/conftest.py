"""Fixtures: a Keystile for a test, the servers around it, and what was sent and came where a test fails."""

import functools
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from peers import evidence, names, sanitizers, wire  # noqa: E402
from peers import browser as browsers  # noqa: E402
from peers.admin import AdminSocket  # noqa: E402
from peers.authority import Authority  # noqa: E402
from peers.config import get, one_api  # noqa: E402
from peers.evidence import EVIDENCE  # noqa: E402
from peers.git_server import GitServer  # noqa: E402
from peers.h2_origin import speak  # noqa: E402
from peers.in_tls import InTls  # noqa: E402
from peers.keystile import Keystile  # noqa: E402
from peers.minting import Minting  # noqa: E402
from peers.network import Network  # noqa: E402
from peers.nginx import Nginx  # noqa: E402
from peers.statuses import StatusServer  # noqa: E402
from peers.tunnel import echo  # noqa: E402
from peers.wire import Origin  # noqa: E402

SINK = "198.51.100.66"
TUNNEL = "198.51.100.80"  # tun.test
LAST = ("test_canary.py",)  # looks at what all the others left behind


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name in LAST)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        report.sections.append(("sent and came", wire.show_transcript()))
        for keystile in getattr(item, "keystiles", []):
            report.sections.append(("keystile.yaml", keystile.text))
            report.sections.append(("proxyd's log", keystile.log()[-4000:]))


@pytest.fixture(autouse=True)
def transcript(request):
    wire.TRANSCRIPT.clear()
    EVIDENCE.test = request.node.name
    yield wire.TRANSCRIPT


@pytest.fixture(autouse=True)
def no_report(transcript):
    """Begins before all that starts our programs, so it ends behind them."""
    yield
    found = sanitizers.reports()
    assert not found, "\n".join(found)


def pytest_sessionfinish():
    shutil.rmtree(sanitizers.FOLDER)


@pytest.fixture
def keystile(request, tmp_path):
    """keystile(CONFIG, secrets={NAME: VALUE}, head={...}, start=True) makes one; all end with the test."""
    made = request.node.keystiles = []

    def make(config, secrets=None, head=None, start=True, network=None, **more):
        folder = tmp_path / f"keystile{len(made)}"
        folder.mkdir()
        one = Keystile(folder, config, secrets, head, network)
        made.append(one)
        return one.start(**more) if start else one

    yield make
    for one in made:
        status = one.stop()
        assert status in (None, 0, 1), f"proxyd ended with {status}; its log: {one.log()}"


def until_closed(start):
    """start(…), for each that is made; at the end they are closed, and what one of them raised fails the test."""
    made = []

    def make(*arguments, **more):
        made.append(start(*arguments, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()
    for one in made:
        for error in one.errors:
            raise error


@pytest.fixture
def origin():
    """origin(SCRIPT) starts a server; what its script asserted fails the test."""
    yield from until_closed(Origin)


@pytest.fixture
def serving():
    """serving(KIND, …) starts a server of peers.serving, such as a TokenServer; what it raised fails the test."""
    yield from until_closed(lambda kind, *arguments, **more: kind(*arguments, **more))


@pytest.fixture
def minting(keystile, serving):
    """minting(…) gives proxyd, a token server, and the API behind the credential `api` (peers.minting). Nothing of what they know
    is to be seen anywhere at the end."""
    finds, made = len(EVIDENCE.finds), []

    def make(**more):
        made.append(Minting(keystile, serving, **more))
        return made[-1]

    yield make
    for one in made:
        one.proxy.stop()
    assert EVIDENCE.finds[finds:] == []


@pytest.fixture(params=["plain", "in TLS"])
def before(request, keystile, origin, authority):
    """before(SCRIPT) gives proxyd and the server behind its credential `api`. What clients of proxyd.client() say is said to the
    credential's endpoint, or, in TLS that proxyd ends, to its host (peers.in_tls); proxyd.request(PATH) makes a head for either."""

    def start(script=None, head=None, **more):
        tls = request.param == "in TLS"
        server = origin(script, context=authority.server_context() if tls else None)
        where = f"localhost:{server.port}" if tls else f"127.0.0.1:{server.port}"
        more = {"intercept": "true", "ca": authority.ca, **more} if tls else more
        proxy = keystile(one_api(f"{'https' if tls else 'http'}://{where}", **more), {"api": evidence.secret("before")}, head)
        proxy.intercepts, base, host = (where, "", where) if tls else (None, "/api", "127.0.0.1")
        if tls:
            proxy.client = lambda who="client": InTls(proxy, who)
        proxy.request = lambda path="/x", *fields, method="GET": get(base + path, proxy.token(), *fields, method=method, host=host)
        return proxy, server

    return start


@pytest.fixture
def git_server(tmp_path):
    """git_server(AUTHORIZATION, **WHERE) starts one (peers.git_server)."""
    made = []

    def make(authorization, **where):
        made.append(GitServer(tmp_path, authorization, **where))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A network where every name that is not in names.addresses leads to SINK."""
    if not names.can_enter():
        pytest.skip("namespaces cannot be made here")
    one = Network(tmp_path_factory.mktemp("network"), {}, SINK)
    yield one
    one.close()


@pytest.fixture
def tunnelled(keystile, network):
    """tunnelled(SCRIPT) gives proxyd and a server at tun.test:9999, for a profile that names that port."""
    made = []
    network.names.addresses.update({"tun.test": TUNNEL, "nosuch.test": None})

    def make(script=echo, hosts='["tun.test", "tun.test:9999"]', head=None, config=None, host=TUNNEL, port=9999, more="", **other):
        server = Origin(script, host=host, port=port, network=network, **other)
        made.append(server)
        text = config or one_api("https://api.cred.test", hosts=hosts) + more
        return keystile(text, {"api": evidence.secret("tunnel")}, head, network=network), server

    yield make
    for server in made:
        server.close()
    for server in made:
        for error in server.errors:
            raise error


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def context_for(authority):
    """context_for(ALPN) for servers on loopback, each made once."""
    return functools.cache(lambda alpn: authority.server_context("alpn-" + "-".join(alpn).replace("/", ""), alpn=alpn))


@pytest.fixture
def before_h2(keystile, origin, authority, context_for):
    """before_h2(SCRIPT) gives proxyd and the HTTP/2 server behind its credential `api` (peers.h2_origin); `alpn` is what that offers."""

    def start(script=None, settings=None, windows=True, alpn=("h2", "http/1.1"), head=None, config="", name="127.0.0.1", **more):
        server = origin(speak(script, settings, windows), context=context_for(alpn))
        secret = evidence.secret("h2")
        text = one_api(f"https://{name}:{server.port}", ca=authority.ca, **more) + config
        proxy = keystile(text, {"api": secret}, head, start=False)
        return proxy.start(env={"SSL_CERT_FILE": str(authority.ca)}), server

    return start


@pytest.fixture(scope="session")
def shared_nginx(tmp_path_factory):
    server = Nginx(tmp_path_factory.mktemp("nginx"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def shared_nginx_tls(tmp_path_factory, authority):
    server = Nginx(
        tmp_path_factory.mktemp("nginx-tls"),
        certificate=authority.issue("nginx", ["IP:127.0.0.1", "DNS:localhost"]),
    )
    yield server
    server.close()


@pytest.fixture
def nginx(shared_nginx):
    shared_nginx.forget()
    return shared_nginx


@pytest.fixture
def nginx_tls(shared_nginx_tls):
    shared_nginx_tls.forget()
    return shared_nginx_tls


@pytest.fixture(scope="session")
def browser():
    if not browsers.PROGRAM:
        pytest.skip(f"there is none of {', '.join(browsers.NAMES)} here")
    one = browsers.Browser()
    yield one
    one.close()


@pytest.fixture(scope="session")
def admin_page(tmp_path_factory):
    """The page at / of proxyd's admin listener: its bytes and its fields."""
    proxy = Keystile(tmp_path_factory.mktemp("page"), "profiles: { agent: {} }\n", head={"admin": "unix:admin.sock"}).start()
    answer = AdminSocket(proxy).ask("/")
    proxy.stop()
    assert answer.status == 200
    return answer.body, answer.fields


@pytest.fixture
def page(browser, admin_page):
    """page(**STATUS) opens that page in a tab of its own, before a /status that says what the test wants (peers.statuses). All its
    waiting goes `faster` times as fast, and `waits` in it has what that would have been. It may not complain."""
    made = []

    def start(width=1280, height=900, faster=1, **more):
        server = StatusServer(admin_page)
        tab = browsers.Tab(browser, width, height)
        tab.server = server
        made.append((tab, server))
        server.change(**more)
        tab.before(f"""window.waits = []; const later = setTimeout;
            window.setTimeout = (what, time) => (waits.push(time), later(what, time / {faster}))""")
        tab.open(server.url)
        return tab

    yield start
    for tab, server in made:
        tab.close()
        server.close()
    for tab, server in made:
        assert (tab.complaints, server.errors) == ([], [])
