"""Requests that proxyd signs for AWS: botocore is the oracle, and what agents say of their bodies is kept, checked or made anew."""

import contextlib
import hashlib
import random
import threading
import urllib.parse

import pytest

from peers import aws, evidence
from peers.config import basic, problem
from peers.h2 import H2, Answer
from peers.h2_origin import speak
from peers.in_tls import InTls
from peers.keystile import wait_for
from test_commands import Command

EMPTY = aws.EMPTY
SESSION = "session-" + "A/b+c=" * 20


def config(upstream, service="s3", session=False, **more):
    secrets = "id: vault:id, key: vault:key" + (", session: vault:session" if session else "")
    lines = "".join(f"    {key}: {value}\n" for key, value in more.items())
    return (f"credentials:\n  api:\n    upstream: {upstream}\n    secrets: {{ {secrets} }}\n"
            f"    inject: {{ aws_sigv4: {{ region: eu-central-1, service: {service} }} }}\n"
            "    env: { base_url: API_URL, token: API_TOKEN }\n"
            f"{lines}profiles:\n  agent:\n    credentials: [api]\n")


@pytest.fixture
def sign(keystile, origin):
    """sign(SERVICE, …) gives proxyd and a strict service behind its credential `api`, and the token."""

    def start(service="s3", session=None, script=None, path="", head=None, **more):
        key = evidence.secret("key")
        secrets = {"id": aws.ID, "key": key, **({"session": session} if session else {})}
        server = origin(script or aws.service(key, service, session))
        server.refused, server.key = [], key
        proxy = keystile(config(f"http://127.0.0.1:{server.port}{path}", service, bool(session), **more), secrets, head)
        return proxy, server, proxy.token()

    return start


def request(method, target, token, body=b"", *fields, framing=None):
    lines = [f"{method} /api{target} HTTP/1.1", "Host: 127.0.0.1", *aws.agent_fields(token, *fields)]
    if framing or body:
        lines.append(framing or f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def hashed(body):
    return f"X-Amz-Content-Sha256: {aws.sha(body)}"


# --- the same signature as botocore's ---


def random_text(generator, safe):
    letters = "abcXYZ019-._~ !$&'()*+,;=:@/?#[]%é€\"<>\\^`{|}"
    text = "".join(generator.choice(letters) for _ in range(generator.randrange(1, 12)))
    return urllib.parse.quote(text, safe=safe)


def random_request(generator, service, token):
    method = generator.choice(["GET", "PUT", "POST", "DELETE"])
    segments = [random_text(generator, "-_.~").strip(".").replace("%2F", "x").replace("%5C", "y") or "k"
                for _ in range(generator.randrange(4))]
    path = "/" + "/".join(segments) + generator.choice(["", "/"])
    pairs = [f"{random_text(generator, '-_.~')}={random_text(generator, '-_.~')}" for _ in range(generator.randrange(4))]
    query = "?" + "&".join(pairs) if pairs else ""
    fields = [f"x-amz-meta-{generator.choice('abcdef')}:{' ' * generator.randrange(3)}{value}"
              for value in generator.sample(["a", "a  b", "a\t b ", "A,b", '"a   b"', "", "=" * 40], generator.randrange(4))]
    fields += generator.sample(["Content-Type: text/plain; charset=x", "Content-MD5: abc==", "Range: bytes=0-9", "User-Agent: a/b  c",
                                "X-Amz-Target: T.Op", "Date: now", "X-Other:  y"], generator.randrange(4))
    body = generator.randbytes(generator.choice([0, 1, 100, 3000])) if method in ("PUT", "POST") else b""
    said = [hashed(body)] * (generator.random() < 0.5)
    return path + query, request(method, path + query, token, body, *fields, *said)


@pytest.mark.parametrize("service", ["s3", "dynamodb"])
def test_a_thousand_random_requests(sign, service):
    proxy, server, token = sign(service)
    generator = random.Random(service)
    with proxy.client() as client:
        for number in range(1000):
            target, data = random_request(generator, service, token)
            answer = client.ask(data)
            assert answer.status == 200, (number, data, server.refused)
    assert len(server.requests) == 1000 and not server.refused


def test_another_key_is_found_out(sign):
    """Is the oracle one? What is signed with another key is refused by it."""
    proxy, server, token = sign(script=aws.service("another key"))
    assert proxy.ask(request("GET", "/b/k", token)).status == 403
    assert "SignatureDoesNotMatch" in server.refused[0]


# --- what goes out ---


def test_nothing_of_the_agents_signature_goes_out(sign):
    proxy, server, token = sign(session=SESSION)
    query = (f"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={token}%2F20260102%2Fr%2Fs3%2Faws4_request&X-Amz-Date={aws.NOW}"
             "&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=mine&x-id=GetObject&X-Amz-Signature=00")
    for data in (request("GET", "/b/k?x-id=GetObject", token, b"", "X-Amz-Security-Token: mine", "x_amz_date: 1"),
                 f"GET /api/b/k{query} HTTP/1.1\r\nHost: h\r\n\r\n".encode()):
        assert proxy.ask(data).status == 200, server.refused
        came = server.requests[-1]
        assert came.target == "/b/k?x-id=GetObject"
        assert token not in str(came.fields) and aws.NOW not in str(came.fields) and "mine" not in str(came.fields)
        assert came.get("X-Amz-Security-Token") == SESSION and came.get("X-Amz-Date")
        assert came.get("Authorization").startswith(f"AWS4-HMAC-SHA256 Credential={aws.ID}/")
        assert "/eu-central-1/s3/aws4_request" in came.get("Authorization")


def test_a_signature_that_shows_no_token_is_refused(sign):
    proxy, server, token = sign()
    answer = proxy.ask(request("GET", "/b/k", "AKIAIOSFODNN7EXAMPLE"))
    told = problem(answer, 401)
    assert "AWS_ACCESS_KEY_ID" in told["hint"]
    assert not server.requests


def test_an_upstream_path_is_signed_too(sign):
    proxy, server, token = sign("execute-api", path="/stage")
    assert proxy.ask(request("POST", "/items/a%20b", token, b"{}")).status == 200, server.refused
    assert server.requests[-1].target == "/stage/items/a%20b"


def test_responses_are_searched_for_the_session_but_not_for_the_id(sign):
    def echo(connection):
        while True:
            message = connection.request()
            connection.answer("200 OK", f"{server.key} {message.get('X-Amz-Security-Token')} {aws.ID}")

    proxy, server, token = sign(session=SESSION, script=echo)
    assert proxy.ask(request("GET", "/b/k", token)).text == f"{'*' * len(server.key)} {'*' * len(SESSION)} {aws.ID}"


def elsewhere(where, key_id, *fields):
    """To a host by its own name, signed with a key of the agent's own."""
    return "\r\n".join([f"GET {where}/b/k HTTP/1.1", *fields, *aws.agent_fields(key_id, hashed(b""))]) + "\r\n\r\n"


def test_through_the_proxy(sign):
    proxy, server, token = sign()
    host = f"127.0.0.1:{server.port}"
    answer = proxy.ask(elsewhere(f"http://{host}", "AKIAOWN", f"Host: {host}", "Proxy-Authorization: " + basic("x", proxy.proxy_token())))
    assert answer.status == 200, server.refused
    assert "AKIAOWN" not in str(server.requests[-1].fields)


def test_at_an_intercepted_host(keystile, origin, authority):
    key = evidence.secret("key")
    server = origin(aws.service(key), context=authority.server_context())
    where = f"localhost:{server.port}"
    proxy = keystile(config(f"https://{where}", intercept="true", ca=authority.ca), {"id": aws.ID, "key": key})
    proxy.intercepts = where
    with InTls(proxy, "client") as client:
        assert client.ask(elsewhere("", "AKIAOWN", f"Host: {where}")).status == 200
    assert "AKIAOWN" not in str(server.requests[-1].fields)


# --- bodies ---

BODY = random.Random(1).randbytes(200_000)
HALVES = f"{len(BODY) // 2:x}\r\n".encode()
CHUNKED = HALVES + BODY[:100_000] + b"\r\n" + HALVES + BODY[100_000:] + b"\r\n0\r\n\r\n"
CHUNKS = aws.chunks(BODY[:65536], BODY[65536:131072], BODY[131072:])
TRAILED = aws.chunks(BODY[:131072], BODY[131072:], trailers=["x-amz-checksum-crc32c:AAAAAA=="])
STREAMING = "X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
UNSIGNED = "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD"

# service, fields, what is sent, framing, what comes: X-Amz-Content-Sha256, the data, and whether its length is told
FORMS = {
    "s3, unsaid": ("s3", [], BODY, None, "UNSIGNED-PAYLOAD", BODY, True),
    "s3, unsigned": ("s3", [UNSIGNED], BODY, None, "UNSIGNED-PAYLOAD", BODY, True),
    "s3, unsigned, chunked": ("s3", [UNSIGNED], CHUNKED, "Transfer-Encoding: chunked", "UNSIGNED-PAYLOAD", BODY, False),
    "s3, unsigned trailer": ("s3", ["X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER"], CHUNKED, None,
                             "STREAMING-UNSIGNED-PAYLOAD-TRAILER", CHUNKED, True),
    "s3, hashed": ("s3", [hashed(BODY)], BODY, None, aws.sha(BODY), BODY, True),
    "hashed": ("dynamodb", [hashed(BODY)], BODY, None, aws.sha(BODY), BODY, True),
    "hashed, chunked": ("dynamodb", [hashed(BODY)], CHUNKED, "Transfer-Encoding: chunked", aws.sha(BODY), BODY, False),
    "unsaid": ("dynamodb", [], BODY, None, None, BODY, True),
    "unsaid, chunked": ("dynamodb", [], CHUNKED, "Transfer-Encoding: chunked", None, BODY, True),
    "unsaid, chunked, empty": ("dynamodb", [], b"0\r\n\r\n", "Transfer-Encoding: chunked", None, b"", True),
    "unsaid, empty": ("dynamodb", [], b"", "Content-Length: 0", None, b"", True),
    "chunks": ("s3", [STREAMING, "Content-Encoding: aws-chunked", f"X-Amz-Decoded-Content-Length: {len(BODY)}"], CHUNKS, None,
               "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", BODY, True),
    "chunks, empty": ("s3", [STREAMING], aws.chunks(), None, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", b"", True),
    "chunks and trailers": ("s3", [STREAMING + "-TRAILER", "X-Amz-Trailer: x-amz-checksum-crc32c"], TRAILED, None,
                            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", BODY, True),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_bodies(sign, form):
    service, fields, body, framing, said, data, length = FORMS[form]
    proxy, server, token = sign(service)
    with proxy.client() as client:
        for _ in range(2):
            answer = client.ask(request("PUT", "/b/k", token, body, *fields, framing=framing))
            assert answer.status == 200 and answer.body == data, server.refused
    came = server.requests[-1]
    assert came.get("X-Amz-Content-Sha256") == said
    assert bool(came.all("Content-Length")) == length and bool(came.all("Transfer-Encoding")) != length


def test_chunks_one_byte_at_a_time(sign):
    proxy, server, token = sign()
    body = aws.chunks(b"abc", b"d" * 300, trailers=["x-amz-checksum-crc32c:AAAAAA=="])
    with proxy.client() as client:
        for byte in request("PUT", "/b/k", token, body, STREAMING + "-TRAILER"):
            client.send(bytes([byte]))
        answer = client.response()
    assert answer.status == 200 and answer.body == b"abc" + b"d" * 300, server.refused


# service, fields, what is sent, framing, the refusal
WRONG = {
    "a hash": ("s3", [hashed(b"other")], BODY, None, 400, "content_sha256"),
    "a hash, one byte": ("s3", [hashed(b"other")], b"x", None, 400, "content_sha256"),
    "a hash, chunked": ("dynamodb", [hashed(b"other")], CHUNKED, "Transfer-Encoding: chunked", 400, "content_sha256"),
    "a hash, no body": ("s3", [hashed(b"other")], b"", "Content-Length: 0", 400, "content_sha256"),
    "a form": ("s3", ["X-Amz-Content-Sha256: none"], b"", "Content-Length: 0", 400, "signed_form"),
    "another form of chunks": ("s3", ["X-Amz-Content-Sha256: STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"], b"", "Content-Length: 0", 501,
                               "signed_form"),
    "two forms": ("s3", [UNSIGNED, hashed(b"")], b"", "Content-Length: 0", 400, "signed_form"),
    "no chunks": ("s3", [STREAMING], BODY, None, 400, "signed_chunks"),
    "chunks that end too soon": ("s3", [STREAMING], CHUNKS[:-2], None, 400, "signed_chunks"),
    "chunks that go on": ("s3", [STREAMING], CHUNKS + b"x", None, 400, "signed_chunks"),
    "chunks that are too long": ("s3", [STREAMING], aws.chunks(b"x" * 131073), None, 400, "signed_chunks"),
    "trailers that are not signed": ("s3", [STREAMING + "-TRAILER"], CHUNKS, None, 400, "signed_chunks"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_body_never_arrives_whole(sign, what):
    service, fields, body, framing, status, reason = WRONG[what]
    proxy, server, token = sign(service)
    with proxy.client() as client:
        answer = client.ask(request("PUT", "/b/k", token, body, *fields, framing=framing))
    problem(answer, status)
    assert [line["reason"] for line in proxy.audit(1, event="end")] == [reason]
    assert not server.requests and set(server.refused) <= {"cut"}


def test_a_wrong_body_breaks_a_response_that_has_begun(sign):
    """The service answers before it has all of the body."""
    seen = threading.Event()

    def early(connection):
        connection.head()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        connection.until(b"x" * 10)
        seen.set()
        assert connection.rest().count(b"x") < 40_000
        connection.origin.requests.append("cut")

    proxy, server, token = sign(script=early)
    body = b"x" * 40_000
    with proxy.client() as client:
        data = request("PUT", "/b/k", token, body, hashed(b"other"))
        client.send(data[:-1000])
        assert client.head().status == 200
        client.send(data[-1000:])
        assert client.rest() == b"abc"
    assert seen.wait(10)
    wait_for(lambda: server.requests == ["cut"], "the end of the upstream's connection")
    assert proxy.audit(1, event="end", reason="content_sha256")


LIMITS = {"limits": "{{ signed_body: 64KiB }}"}


@pytest.mark.parametrize("framing", [None, "Transfer-Encoding: chunked"])
def test_the_limit_of_what_is_held(sign, framing):
    proxy, server, token = sign("dynamodb", head=LIMITS)

    def ask(size):
        body = b"x" * size
        body = body if not framing else f"{size:x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        return proxy.ask(request("POST", "/", token, body, framing=framing))

    assert ask(65536).status == 200
    told = problem(ask(65537), 413)
    assert "signed_body" in told["hint"] and len(server.requests) == 1
    body = b"x" * 65537
    assert proxy.ask(request("POST", "/", token, body, hashed(body))).status == 200, server.refused


def test_the_limit_of_all_that_is_held(sign):
    """Many bodies that begin and do not end: what is over is refused, and what went away counts no more."""
    proxy, server, token = sign("dynamodb", head={"limits": "{{ signed_body: 1KiB }}"})
    data = request("POST", "/", token, b"x" * 1023, framing="Content-Length: 1024")

    def ask():
        return proxy.ask(request("POST", "/", token, b"x" * 1024))

    with contextlib.ExitStack() as stack:

        def begin():
            stack.enter_context(proxy.client()).send(data)

        def refusal():
            begin()
            answer = ask()
            return answer if answer.status == 503 else None

        for _ in range(64):
            begin()
        # One that is read while another is asked may be the one that is refused.
        answer = wait_for(refusal, "a refusal")
        assert problem(answer, 503)["hint"] and answer.get("Retry-After") == "1"
    wait_for(lambda: ask().status == 200, "room for what is held")
    assert proxy.audit(2, event="end", reason="signed_bodies") and not server.refused


def test_a_held_body_is_asked_for(sign):
    """The upstream, which hears of the request once it has all of it, cannot say 100."""
    proxy, server, token = sign("dynamodb")
    with proxy.client() as client:
        client.send(request("POST", "/", token, b"", "Expect: 100-continue", framing="Content-Length: 3"))
        client.sock.settimeout(2)  # after three seconds proxyd asks in any case
        assert client.head().status == 100
        client.sock.settimeout(10)
        client.send(b"abc")
        assert client.response().status == 200, server.refused
    assert not server.requests[-1].all("Expect")


def test_a_held_body_that_comes_at_once_with_its_expect(sign):
    """Nobody waits for the 100 any more when it would be said: the one answer is the service's."""
    proxy, server, token = sign("dynamodb")
    with proxy.client() as client:
        for _ in range(2):
            client.send(request("POST", "/", token, b"abc", "Expect: 100-continue"))
            answer = client.response()
            assert answer.status == 200 and answer.body == b"abc", server.refused


def test_a_held_body_that_comes_at_once_with_its_expect_in_tls(keystile, origin, authority):
    key = evidence.secret("key")
    server = origin(aws.service(key, "dynamodb"), context=authority.server_context())
    where = f"localhost:{server.port}"
    proxy = keystile(config(f"https://{where}", "dynamodb", intercept="true", ca=authority.ca), {"id": aws.ID, "key": key})
    proxy.intercepts = where
    lines = [f"Host: {where}", "Content-Length: 3", "Expect: 100-continue", *aws.agent_fields("AKIAOWN")]
    with InTls(proxy, "client") as client:
        client.send("\r\n".join(["POST / HTTP/1.1", *lines]).encode() + b"\r\n\r\nabc")
        answer = client.response()
    assert answer.status == 200 and answer.body == b"abc", server.refused


def test_a_held_body_that_stops_coming(sign):
    proxy, server, token = sign("dynamodb", head={"limits": "{{ body_idle: 1s }}"})
    with proxy.client() as client:
        client.send(request("POST", "/", token, b"", framing="Content-Length: 3"))
        problem(client.response(), 408)
    assert not server.requests


@pytest.mark.parametrize("framing", [None, "Transfer-Encoding: chunked", "HTTP/2"])
def test_a_held_body_whose_key_comes_late(keystile, origin, tmp_path, framing):
    """It is asked for, and signed, once a command has printed the key; also where it has ended by then."""
    command = Command(tmp_path / "key")
    command.hold()
    server = origin(aws.service(command.value, "dynamodb"))
    server.refused = []
    text = config(f"http://127.0.0.1:{server.port}", "dynamodb").replace("key: vault:key", f"key: '{command.source}'")
    proxy = keystile(text, {"id": aws.ID})
    token = proxy.token()
    if framing == "HTTP/2":
        with H2(proxy) as client:
            number = begin_h2(client, "/", token, b"a body of some bytes")
            command.release()
            answer = client.answer(number)
    else:
        with proxy.client() as client:
            client.send(request("POST", "/", token, b"0\r\n\r\n" if framing else b"abc", framing=framing))
            assert client.quiet()
            command.release()
            answer = client.response()
    assert answer.status == 200 and answer.body == {None: b"abc", "HTTP/2": b"a body of some bytes"}.get(framing, b""), server.refused


def test_a_held_body_that_is_malformed(sign):
    proxy, server, token = sign("dynamodb")
    with proxy.client() as client:
        client.send(request("POST", "/", token, b"", framing="Transfer-Encoding: chunked") + b"1\r\na\r\nzz\r\n")
        assert client.response().status == 400
    assert proxy.audit(1, event="end", reason="malformed_body") and not server.requests


def test_a_client_that_goes_away_while_its_body_is_held(sign):
    proxy, server, token = sign("dynamodb")
    with proxy.client() as client:
        client.send(request("POST", "/", token, b"", framing="Content-Length: 3"))
        client.send(b"a")
    line = proxy.audit(1, event="end")[0]
    assert line["reason"] == "client_gone" and not line["injected"] and not server.requests
    assert proxy.ask(request("POST", "/", token, b"abc")).status == 200


def test_a_signed_body_is_sent_again(sign):
    """The kept connection turns out to be dead: what was held, and what was signed anew, goes up once more as it was."""
    key = evidence.secret("key")
    serve = aws.service(key)

    def script(connection):
        if connection.number == 0:
            connection.request()
            connection.answer()
            connection.head()
            connection.reset()
            return
        serve(connection)

    for service, fields, body in (("s3", [STREAMING], CHUNKS[:0] + aws.chunks(b"abc", b"def")), ("dynamodb", [], b"abcdef")):
        serve = aws.service(key, service)
        proxy, server, token = sign(service, script=script)
        proxy.creds("set", "key", input=key)
        proxy.stop()
        proxy.start()
        with proxy.client() as client:
            assert client.ask(request("GET", "/b/k", token)).status == 200
            answer = client.ask(request("PUT", "/b/k", token, body, *fields))
        assert answer.status == 200 and answer.body == b"abcdef", server.refused


def test_a_slow_service_paces_signed_chunks(sign):
    """Nothing of a body is kept but a chunk: what the service does not read, the client cannot send."""
    key = evidence.secret("key")
    gate = threading.Event()

    def script(connection):
        assert gate.wait(30)
        aws.service(key)(connection)

    proxy, server, token = sign(script=script)
    proxy.creds("set", "key", input=key)
    proxy.stop()
    proxy.start()
    pieces = [random.Random(2).randbytes(131072)] * 160
    data = request("PUT", "/b/k", token, aws.chunks(*pieces), STREAMING)
    sent = 0

    def pump(client):
        nonlocal sent
        client.sock.settimeout(0.5)
        try:
            while sent < len(data):
                sent += client.sock.send(data[sent : sent + 65536])
        except TimeoutError:
            return
        finally:
            client.sock.settimeout(30)

    with proxy.client() as client:
        pump(client)
        assert sent < len(data), "all of it was taken"
        gate.set()
        client.sock.sendall(data[sent:])
        answer = client.response()
    assert answer.status == 200 and hashlib.sha256(answer.body).digest() == hashlib.sha256(b"".join(pieces)).digest(), server.refused


# --- HTTP/2 ---


def ask_h2(client, path, token, body, *fields):
    """As request(), by HTTP/2; the body in two pieces, without its length."""
    return client.answer(begin_h2(client, path, token, body, *fields))


def begin_h2(client, path, token, body, *fields):
    lines = [line.split(": ", 1) for line in aws.agent_fields(token, *fields)]
    number = client.request("/api" + path, *((name.lower(), value) for name, value in lines), method="PUT", end=False, token=None)
    client.data(number, body[:7])
    client.data(number, body[7:], end=True)
    return number


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def sign_h2(request, sign, keystile, origin, authority, context_for):
    """sign_h2(SERVICE) is sign(SERVICE) for clients of HTTP/2: the service speaks HTTP/1.1, or HTTP/2 in TLS."""

    def start(service):
        if request.param == "HTTP/1.1":
            return sign(service)
        key = evidence.secret("key")
        server = origin(speak(aws.service_h2(key, service, SESSION)), context=context_for(("h2",)))
        proxy = keystile(config(f"https://127.0.0.1:{server.port}", service, True, ca=authority.ca),
                         {"id": aws.ID, "key": key, "session": SESSION})
        return proxy, server, proxy.token()

    return start


@pytest.mark.parametrize("form", ["s3, hashed", "unsaid", "chunks", "chunks and trailers", "s3, unsigned"])
def test_forms_of_bodies_by_h2(sign_h2, form):
    service, fields, body, _, _, data, _ = FORMS[form]
    proxy, server, token = sign_h2(service)
    with H2(proxy) as client:
        for _ in range(2):
            answer = ask_h2(client, "/b/k?a=b", token, body, *fields)
            assert answer.status == 200 and answer.body == data, answer.body[:1000]
    for came in server.requests:
        assert getattr(came, "never", {"x-amz-security-token", "authorization"}) >= {"x-amz-security-token", "authorization"}


@pytest.mark.parametrize("what", ["a hash", "a hash, chunked", "no chunks", "chunks that end too soon"])
def test_a_wrong_body_never_arrives_whole_by_h2(sign_h2, what):
    service, fields, _, _, status, reason = WRONG[what]
    body = {"a hash": BODY, "a hash, chunked": b"", "no chunks": BODY}.get(what, CHUNKS[:-2])
    proxy, server, token = sign_h2(service)
    with H2(proxy) as client:
        assert ask_h2(client, "/b/k", token, body, *fields).status == status
    assert proxy.audit(1, event="end", reason=reason)
    assert not [came for came in server.requests if getattr(came, "whole", True)]


def test_a_held_body_that_comes_at_once_with_its_expect_by_h2(sign_h2):
    proxy, server, token = sign_h2("dynamodb")
    with H2(proxy) as client:
        lines = [line.split(": ", 1) for line in aws.agent_fields(token, "Expect: 100-continue")]
        head = client.head("/api/", *((name.lower(), value) for name, value in lines), method="POST", token=None)
        number = client.connection.get_next_available_stream_id()
        client.connection.send_headers(number, head)
        client.connection.send_data(number, b"abc", end_stream=True)
        client.answers[number] = Answer()
        client.flush()
        answer = client.answer(number)
    assert answer.status == 200 and answer.body == b"abc"
