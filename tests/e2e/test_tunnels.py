"""Real servers that do not speak HTTP, by a tunnel to a port that the host entry names; on 443 they are not to be had (SPEC §4)."""

import base64
import json

import pytest

from peers import evidence
from peers.config import one_api
from peers.servers import Forwarder, Nats, PostgreSql, Redis, Ssh
from peers.tunnel import open_tunnel
from peers.wire import Closed

ADDRESS = "198.51.100.83"
PORTS = {"nats": 4222, "ssh": 2222, "pg": 5432, "redis": 6379}


@pytest.fixture(scope="module")
def servers(network, tmp_path_factory, authority):
    """server(NAME, PORT) starts one of them where it does not run yet, as NAME.test."""
    kinds, running = {"nats": Nats, "ssh": Ssh, "pg": PostgreSql, "redis": Redis}, {}

    def server(name, port):
        if (name, port) not in running:
            if port == 443:
                for other in [key for key in running if key[1] == 443]:
                    running.pop(other).close()
            more = [authority.issue("pg", ["DNS:pg.test"])] if name == "pg" else []
            running[name, port] = kinds[name](network, tmp_path_factory.mktemp(name), ADDRESS, port, *more)
        return running[name, port]

    network.names.addresses.update({f"{name}.test": ADDRESS for name in PORTS})
    yield server
    for one in running.values():
        one.close()


@pytest.fixture
def proxy(keystile, network):
    """It names the usual ports, and 443 as well."""
    hosts = [f"{name}.test:{port}" for name, usual in PORTS.items() for port in (usual, 443)]
    config = one_api("https://api.cred.test", hosts=json.dumps(hosts))
    return keystile(config, {"api": evidence.secret("servers")}, {"limits": "{{ head_time: 1s }}"}, network=network)


@pytest.fixture
def forwarder(network, proxy):
    """forwarder(NAME, PORT) is a local port that leads through the proxy."""
    made = []

    def make(name, port):
        made.append(Forwarder(network, proxy, f"{name}.test:{port}", proxy.proxy_token()))
        return made[-1].port

    yield make
    for one in made:
        one.close()


def allowed(proxy, name, port, count=1):
    """That many tunnels have ended. How, is the server's affair: PostgreSQL resets whoever says goodbye in TLS."""
    lines = proxy.audit(count, way="connect", event="end", status=200, host=f"{name}.test", port=port)
    assert all(line["bytes_up"] and line["bytes_down"] for line in lines), lines


def closed(proxy, name):
    """The audit line of a tunnel to port 443 that carried what may not be there."""
    line = proxy.audit(1, way="connect", event="end", profile="agent", verdict="deny", host=f"{name}.test", port=443)[0]
    assert line["reason"], line
    return line


# NATS: the server speaks first, then a line that begins with CONNECT


def test_nats(servers, proxy):
    servers("nats", 4222)
    with open_tunnel(proxy, "nats.test:4222", proxy.proxy_token()) as client:
        assert client.until(b"\r\n").startswith(b"INFO {")
        client.send(b'CONNECT {"verbose":false}\r\nSUB work.* 1\r\nPUB work.a 5\r\nhello\r\nPING\r\n')
        assert client.until(b"PONG\r\n") == b"MSG work.a 1 5\r\nhello\r\nPONG\r\n"
    allowed(proxy, "nats", 4222)


def test_nats_client_that_does_not_wait(servers, proxy):
    """Its line is no request, although it begins like one."""
    servers("nats", 4222)
    with open_tunnel(proxy, "nats.test:4222", proxy.proxy_token(), b'CONNECT {"verbose":false}\r\nPING\r\n') as client:
        assert client.until(b"\r\n").startswith(b"INFO {")
        assert client.until(b"\r\n") == b"PONG\r\n"


def test_nats_on_443(servers, proxy):
    """Nothing that the server says comes to a client there, and nothing that it says to the server."""
    servers("nats", 443)
    with open_tunnel(proxy, "nats.test:443", proxy.proxy_token()) as client:
        assert client.quiet(0.5)
        client.send(b'CONNECT {"verbose":false}\r\nPING\r\n')
        came = client.rest()
        assert b"INFO" not in came and b"PONG" not in came
    closed(proxy, "nats")


# SSH


def proxy_command(kind, proxy, folder):
    token = proxy.proxy_token()
    (folder / "corkscrew").write_text(f"agent:{token}")
    return {
        "ncat": f"ncat --proxy 127.0.0.1:{proxy.port} --proxy-type http --proxy-auth agent:{token} %h %p",
        "corkscrew": f"corkscrew 127.0.0.1 {proxy.port} %h %p {folder}/corkscrew",
        "connect-proxy": f"env HTTP_PROXY_PASSWORD={token} connect-proxy -H agent@127.0.0.1:{proxy.port} %h %p",
    }[kind]


@pytest.mark.parametrize("kind", ["ncat", "corkscrew", "connect-proxy"])
def test_ssh(servers, proxy, kind, tmp_path):
    server = servers("ssh", 2222)
    options = server.options(proxy_command(kind, proxy, tmp_path))
    done = server.run("ssh", *options, "ssh.test", "echo from inside; cat", input="and back\n")
    assert (done.returncode, done.stdout) == (0, "from inside\nand back\n"), done.stderr
    allowed(proxy, "ssh", 2222)


def test_sftp(servers, proxy, tmp_path):
    """A file of a megabyte there and back."""
    server = servers("ssh", 2222)
    (tmp_path / "up").write_bytes(base64.b64encode(bytes(range(256)) * 3000))
    batch = f"put {tmp_path}/up {tmp_path}/there\nget {tmp_path}/there {tmp_path}/back\n"
    done = server.run("sftp", *server.options(proxy_command("ncat", proxy, tmp_path)), "-b", "-", "ssh.test", input=batch)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "up").read_bytes()


def test_ssh_on_443(servers, proxy, tmp_path):
    server = servers("ssh", 443)
    done = server.run("ssh", *server.options(proxy_command("ncat", proxy, tmp_path)), "ssh.test", "echo from inside")
    assert done.returncode == 255 and "inside" not in done.stdout, done
    closed(proxy, "ssh")


# PostgreSQL: a binary length first, and TLS only once both have agreed on it


@pytest.mark.parametrize("tls", ["disable", "require"])
def test_postgresql(servers, proxy, forwarder, tls):
    server = servers("pg", 5432)
    to = f"host=127.0.0.1 port={forwarder('pg', 5432)} user=agent dbname=postgres sslmode={tls} gssencmode=disable"
    sql = "create temp table t as select generate_series(1, 20000) as n; select sum(n), count(*) from t; select repeat('x', 300000);"
    done = server.run(server.bin / "psql", to, "-X", "-A", "-t", "-q", "-c", sql)
    assert (done.returncode, done.stdout) == (0, "200010000|20000\n" + "x" * 300000 + "\n"), done.stderr
    shown = server.run(server.bin / "psql", to, "-X", "-A", "-t", "-c", "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    assert shown.stdout == ("t\n" if tls == "require" else "f\n"), shown
    allowed(proxy, "pg", 5432, 2)


def test_postgresql_copies_in(servers, proxy, forwarder):
    server = servers("pg", 5432)
    to = f"host=127.0.0.1 port={forwarder('pg', 5432)} user=agent dbname=postgres gssencmode=disable"
    sql = "create temp table t (n int, s text); copy t from stdin;\n" + "".join(f"{n}\trow {n}\n" for n in range(20000)) + "\\.\n"
    done = server.run(server.bin / "psql", to, "-X", "-A", "-t", "-q", "-f", "-", input=sql + "select max(n), count(distinct s) from t;\n")
    assert (done.returncode, done.stdout) == (0, "19999|20000\n"), done.stderr


def test_postgresql_on_443(servers, proxy, forwarder):
    server = servers("pg", 443)
    to = f"host=127.0.0.1 port={forwarder('pg', 443)} user=agent dbname=postgres gssencmode=disable"
    done = server.run(server.bin / "psql", to, "-X", "-c", "select 1")
    assert done.returncode == 2 and not done.stdout, done
    assert "00" in closed(proxy, "pg")["reason"]


# Redis: an asterisk first


def test_redis(servers, proxy, forwarder):
    server, port = servers("redis", 6379), forwarder("redis", 6379)

    def redis(*words, **more):
        return server.run("redis-cli", "-h", "127.0.0.1", "-p", port, *words, **more).stdout

    assert redis("set", "a", "b c") == "OK\n" and redis("get", "a") == "b c\n"
    assert redis("-x", "set", "large", input="y" * 1_000_000) == "OK\n" and redis("strlen", "large") == "1000000\n"
    many = "".join(f"*3\r\n$4\r\nSADD\r\n$1\r\ns\r\n${len(str(n))}\r\n{n}\r\n" for n in range(5000))
    assert "errors: 0, replies: 5000" in redis("--pipe", input=many)
    assert redis("scard", "s") == "5000\n"
    allowed(proxy, "redis", 6379, 6)


def test_redis_typed_by_hand(servers, proxy):
    """Its other protocol is lines of text, which could begin a request."""
    servers("redis", 6379)
    with open_tunnel(proxy, "redis.test:6379", proxy.proxy_token()) as client:
        for sent, answer in ((b"PING\r\n", b"+PONG\r\n"), (b"SET key1 v\r\n", b"+OK\r\n"), (b"GET key1\r\n", b"$1\r\n")):
            client.send(sent)
            assert client.until(b"\r\n") == answer


def test_redis_on_443(servers, proxy, forwarder):
    server = servers("redis", 443)
    done = server.run("redis-cli", "-h", "127.0.0.1", "-p", forwarder("redis", 443), "set", "a", "b")
    assert "OK" not in done.stdout, done
    assert "2a" in closed(proxy, "redis")["reason"].lower()
    with pytest.raises(Closed), open_tunnel(proxy, "redis.test:443", proxy.proxy_token(), b"*1\r\n$4\r\nPING\r\n") as client:
        client.until(b"+PONG")
