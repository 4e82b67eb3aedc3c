"""Calls server.py in each way and prints what came, as one JSON object: client.py HOST. It knows neither proxy nor CA."""

import base64
import hashlib
import json
import queue
import sys
import time

import grpc

SAYS = [("authorization", "Bearer of-the-agent"), ("x-asked", "asked"), ("x-asked-bin", bytes(range(256)))]
MORE = [("grpc.max_receive_message_length", 64 << 20)]


def method(kind, name):
    return getattr(channel, kind)(f"/keystile.Echo/{name}")


def status(call):
    """The code and the words in which a call failed."""
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().value[0], error.details()]
    return [0, ""]


def unary():
    reply, call = method("unary_unary", "Unary").with_call(b"hello", metadata=SAYS)
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    return [reply.decode(), first["x-initial"], first["x-again"], last["x-trailing"], base64.b64encode(last["x-trailing-bin"]).decode()]


def down():
    return [int(message) for message in method("unary_stream", "Down")(b"100")]


def up():
    return method("stream_unary", "Up")(iter([b"x" * 1000] * 100)).decode()


def both():
    """No message is said before the last one was answered."""
    said, heard = queue.SimpleQueue(), []
    said.put(b"first")
    for reply in method("stream_stream", "Both")(iter(said.get, None)):
        heard.append(reply.decode())
        said.put(b"%d" % len(heard) if len(heard) < 20 else None)
    return heard


def large():
    message = bytes(range(256)) * (4 << 12)
    return hashlib.sha256(method("unary_unary", "Unary")(message)).hexdigest()


def fail():
    return status(lambda: method("unary_unary", "Fail")(b""))


def fail_late():
    heard = []

    def call():
        for message in method("unary_stream", "FailLate")(b""):
            heard.append(message.decode())

    return [heard, *status(call)]


def refused():
    return status(lambda: method("unary_unary", "Refused")(b""))[0]


def deadline():
    began = time.monotonic()
    code, _ = status(lambda: method("unary_unary", "Slow")(b"deadline", timeout=2))
    return [code, time.monotonic() - began < 10]


def cancel():
    """Called as a stream: only so is the first metadata given before the answer."""
    call = method("unary_stream", "Slow")(b"cancel")
    first = dict(call.initial_metadata())["x-initial"]
    call.cancel()
    return [first, *status(lambda: list(call))[:1]]


channel = grpc.secure_channel(f"{sys.argv[1]}:443", grpc.ssl_channel_credentials(), MORE)
CASES = (unary, down, up, both, large, fail, fail_late, refused, deadline, cancel)
print(json.dumps({case.__name__: case() for case in CASES}))
