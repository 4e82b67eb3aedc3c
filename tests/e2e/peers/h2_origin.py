"""A server of HTTP/2 that answers as a test's script says, by python-h2 and past it as frames, and keeps what came."""

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hpack
from hyperframe.frame import GoAwayFrame

from .wire import TIMEOUT, note, serve_ok

MAX_CONCURRENT_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
MAX_HEADER_LIST_SIZE = h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE
INITIAL_WINDOW_SIZE = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
HEADER_TABLE_SIZE = h2.settings.SettingCodes.HEADER_TABLE_SIZE
MAX_FRAME_SIZE = h2.settings.SettingCodes.MAX_FRAME_SIZE
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, HTTP_1_1_REQUIRED = 0, 1, 2, 7, 8, 13


class Came:
    """What came on one stream."""

    def __init__(self, session, number, fields):
        self.session, self.number = session, number
        self.fields = [(name, value) for name, value in fields]
        self.never = {field[0] for field in fields if isinstance(field, hpack.NeverIndexedHeaderTuple)}
        self.body, self.trailers, self.pieces = b"", [], 0
        self.whole, self.reset = False, None

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name, default=None):
        found = self.all(name)
        assert len(found) < 2, f"{name} stands {len(found)} times: {found}"
        return found[0] if found else default

    @property
    def path(self):
        return self.get(":path")

    def __repr__(self):
        return f"<{self.number}: {self.fields} body {self.body[:300]!r} trailers {self.trailers} reset {self.reset}>"


def octets(fields):
    return [never_like(field)(*(part.encode("latin-1") for part in field)) for field in fields]


def never_like(field):
    return hpack.NeverIndexedHeaderTuple if isinstance(field, hpack.NeverIndexedHeaderTuple) else hpack.HeaderTuple


class Session:
    """One connection, on a wire.Connection. With `windows` they open as bodies come; without, the script does it."""

    def __init__(self, connection, settings=None, windows=True):
        self.connection, self.origin, self.windows = connection, connection.origin, windows
        self.streams, self.left, self.goaway = {}, [], None
        config = h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        initial = {MAX_CONCURRENT_STREAMS: 100, MAX_HEADER_LIST_SIZE: 65536, **(settings or {})}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=initial)
        self.h2.initiate_connection()
        self.flush()
        # Whoever has not read our SETTINGS yet may open more streams, which are refused and do not end the connection.
        self.most, self.acknowledged = initial[MAX_CONCURRENT_STREAMS], 0
        self.h2.local_settings.update({MAX_CONCURRENT_STREAMS: 1 << 20})
        self.h2.local_settings.acknowledge()

    # --- hearing ---

    def hear(self, patience=TIMEOUT):
        """One more piece of what comes. False at the end; None where nothing came for so long."""
        self.connection.sock.settimeout(patience)
        try:
            if not self.connection.receive():
                return False
        except TimeoutError:
            return None
        data, self.connection.buffer = self.connection.buffer, b""
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()
        return True

    def take(self, event):
        note("origin", "heard", repr(event))
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)
            return
        self.acknowledged += isinstance(event, h2.events.SettingsAcknowledged)
        number = getattr(event, "stream_id", 0)
        if isinstance(event, h2.events.RequestReceived):
            self.begin(Came(self, number, event.headers))
        came = self.streams.get(number)
        if isinstance(event, h2.events.DataReceived):
            came.body += event.data
            came.pieces += 1
            if self.windows and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.TrailersReceived):
            came.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            came.whole = True
        elif isinstance(event, h2.events.StreamReset):
            came.reset = int(event.error_code)

    def begin(self, came):
        self.streams[came.number] = came
        if self.h2.open_inbound_streams > self.most:
            assert not self.acknowledged, f"more than {self.most} streams at a time"
            self.h2.reset_stream(came.number, REFUSED_STREAM)
            return
        self.left.append(came)
        self.origin.requests.append(came)

    def until(self, condition, what):
        while not condition():
            assert self.hear(), f"the end before {what}; GOAWAY {self.goaway}"
        return condition()

    def until_told(self, condition):
        """Hears on until the test says so."""
        while not condition():
            if self.hear(0.02) is False:
                raise ConnectionError("closed before the test said so")

    def next(self, whole=True):
        """The next stream that nobody took yet, once its request is whole, or as soon as its head is there. None at the end."""
        while True:
            for came in self.left:
                if came.whole or not whole:
                    self.left.remove(came)
                    return came
            if self.hear() is False:
                return None

    def serve(self, answer=None, whole=True):
        """answer(SESSION, STREAM) for each, to the end of the connection."""
        while came := self.next(whole):
            (answer or Session.answer)(self, came)

    # --- saying ---

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.connection.send(data)

    def raw(self, data):
        self.flush()
        self.connection.send(data)

    def answer(self, came, body=b"ok", *fields, status=200, end=True, trailers=()):
        """A response: head, body as the windows let it go, trailers; without `end`, it is left open."""
        length = [("content-length", str(len(body)))] if end and not trailers else []
        self.head(came, *length, *fields, status=status, end=end and not body and not trailers)
        if body:
            self.data(came, body, end=end and not trailers)
        if trailers:
            self.head(came, *trailers, status=None, end=True)

    def head(self, came, *fields, status=200, end=False):
        """HEADERS; with `status` None they are trailers."""
        pseudo = [] if status is None else [(":status", str(status))]
        self.h2.send_headers(came.number, octets([*pseudo, *fields]), end_stream=end)
        self.flush()

    def data(self, came, data=b"", end=False):
        while data:
            self.until(lambda: came.reset is not None or self.h2.local_flow_control_window(came.number) > 0, "room in the window")
            if came.reset is not None:
                return
            room = min(self.h2.local_flow_control_window(came.number), self.h2.max_outbound_frame_size)
            piece, data = data[:room], data[room:]
            self.h2.send_data(came.number, piece, end_stream=end and not data)
            self.flush()
            if not data:
                return
        self.h2.send_data(came.number, b"", end_stream=end)
        self.flush()

    def block(self, fields):
        """A field block (RFC 7541) of any fields. The table on both sides keeps what python-h2 does not know of."""
        return self.h2.encoder.encode(octets(fields), huffman=False)

    def fill(self, came, byte=b"x"):
        """As much of a body as the windows have room for now; returns how much."""
        sent = 0
        while room := min(self.h2.local_flow_control_window(came.number), self.h2.max_outbound_frame_size):
            self.data(came, byte * room)
            sent += room
        return sent

    def reset(self, came, code):
        self.h2.reset_stream(came.number, code)
        self.flush()

    def go_away(self, last, code=NO_ERROR):
        """Not python-h2's own, for which that is the end of all."""
        self.raw(GoAwayFrame(0, last_stream_id=last, error_code=code).serialize())


def speak(script=None, settings=None, windows=True):
    """What wire.Origin runs for a connection: `script(SESSION)` where TLS chose h2, else HTTP/1.1 that says ok. What came, by
    either protocol and in order, is in the origin's `.requests`."""

    def run(connection):
        if connection.sock.selected_alpn_protocol() != "h2":
            return serve_ok(connection)
        session = Session(connection, settings, windows)
        try:
            (script or Session.serve)(session)
        except h2.exceptions.ProtocolError as error:
            raise AssertionError(f"what came is not HTTP/2: {error!r}") from error
        # What still comes is of no interest, but a close before it is read would be a reset.
        while session.connection.receive():
            session.connection.buffer = b""

    return run


def respond(answer):
    """A script of one way to answer: answer(SESSION, STREAM)."""
    return lambda session: session.serve(answer)


def by_h2(server, count):
    """The streams that came to an origin, `count` in all; it is an error if one came by HTTP/1.1."""
    assert all(isinstance(came, Came) for came in server.requests) and len(server.requests) == count, server.requests
    return server.requests
