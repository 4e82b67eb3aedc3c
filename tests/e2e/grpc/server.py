"""A gRPC server over TLS: server.py ADDRESS PORT CERTIFICATE KEY. Messages are plain bytes. Each call is a line on standard output:
what it is, the credential that it showed, and the end of those that wait."""

import json
import sys
import threading
from concurrent import futures

import grpc

LOCK = threading.Lock()


def say(**members):
    with LOCK:
        print(json.dumps(members), flush=True)


def began(name, context):
    shown = [value for key, value in context.invocation_metadata() if key == "authorization"]
    say(call=name, authorization=shown)


def unary(message, context):
    began("Unary", context)
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata([("x-initial", "one"), ("x-again", sent.get("x-asked", ""))])
    context.set_trailing_metadata([("x-trailing", "two"), ("x-trailing-bin", sent.get("x-asked-bin", b""))])
    return message


def down(message, context):
    began("Down", context)
    for number in range(int(message)):
        yield b"%d" % number


def up(messages, context):
    began("Up", context)
    sizes = [len(message) for message in messages]
    return b"%d messages, %d bytes" % (len(sizes), sum(sizes))


def both(messages, context):
    began("Both", context)
    for message in messages:
        yield b"re: " + message


def fail(message, context):
    began("Fail", context)
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: é")


def fail_late(message, context):
    began("FailLate", context)
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "behind one")


def slow(message, context):
    """Ends with its client's patience."""
    over = threading.Event()
    context.add_callback(over.set)
    began("Slow", context)
    context.send_initial_metadata([("x-initial", "slow")])
    over.wait(20)
    say(over=message.decode())
    return b""


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Down": grpc.unary_stream_rpc_method_handler(down),
    "Up": grpc.stream_unary_rpc_method_handler(up),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
}


def main(address, port, certificate, key):
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 64 << 20)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("keystile.Echo", METHODS)])
    pair = (open(key, "rb").read(), open(certificate, "rb").read())
    assert server.add_secure_port(f"{address}:{port}", grpc.ssl_server_credentials([pair])) == int(port)
    server.start()
    say(ready=True)
    server.wait_for_termination()


main(*sys.argv[1:])
