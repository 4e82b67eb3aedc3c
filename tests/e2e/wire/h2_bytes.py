"""HTTP/2 as bytes: frames (RFC 9113 section 6) and fields (RFC 7541), valid or not. bench/floods.py has them too, so the standard
library is enough for all but Huffman's code."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# RFC 9113 section 6: types, flags, settings; section 7: codes
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, UNKNOWN = (*range(10), 0x16)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
         "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM")
NAMES = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION")
LARGEST = 2**31 - 1


def frame(kind, stream=0, payload=b"", flags=0):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def data(stream, payload=b"test", end=True):
    return frame(DATA, stream, payload, END_STREAM * end)


def padded(stream, payload, padding, end=True):
    return frame(DATA, stream, bytes([padding]) + payload + bytes(padding), PADDED | END_STREAM * end)


def dependency(on=0, weight=255, exclusive=False):
    return struct.pack(">IB", on | exclusive << 31, weight)


def priority(stream, on=0, weight=255, exclusive=False):
    return frame(PRIORITY, stream, dependency(on, weight, exclusive))


def reset(stream, code="CANCEL"):
    return frame(RST_STREAM, stream, struct.pack(">I", CODES.index(code) if code in CODES else code))


def settings(*pairs):
    return frame(SETTINGS, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def ping(payload=bytes(8), flags=0):
    return frame(PING, 0, payload, flags)


def goaway(code=0):
    return frame(GOAWAY, 0, struct.pack(">II", 0, code))


def window(stream, increment):
    return frame(WINDOW_UPDATE, stream, struct.pack(">I", increment))


def continuation(stream, block, end=True):
    return frame(CONTINUATION, stream, block, END_HEADERS * end)


def integer(value, bits, pattern=0):
    """RFC 7541 section 5.1, behind the pattern of a representation."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([pattern | value])
    value, more = value - most, []
    while value >= 128:
        more.append(value & 127 | 128)
        value >>= 7
    return bytes([pattern | most, *more, value])


def string(text, coded=False):
    """RFC 7541 section 5.2; `coded`: in Huffman's code."""
    text = text if isinstance(text, bytes) else text.encode()
    if not coded:
        return integer(len(text), 7) + text
    from hpack.huffman import HuffmanEncoder
    from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

    text = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    return bytes([0x80 | len(text)]) + text


INDEXED, ADDED, KEPT_OUT, NEVER, RESIZED = 0x80, 0x40, 0x00, 0x10, 0x20  # RFC 7541 section 6
BITS = {INDEXED: 7, ADDED: 6, KEPT_OUT: 4, NEVER: 4, RESIZED: 5}


def literal(name, value, pattern=KEPT_OUT, index=0, coded=False):
    """A literal field; kept out of the table, so that a block means the same wherever it stands. `index` stands for the name."""
    return integer(index, BITS[pattern], pattern) + (b"" if index else string(name, coded)) + string(value, coded)


def indexed(index):
    return integer(index, 7, INDEXED)


def table_size(size):
    return integer(size, 5, RESIZED)


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)
