"""A client of HTTP/2 that says just what it is told to: by python-h2, and past it as bytes. Who breaks its rules is in frames.py."""

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from .evidence import EVIDENCE
from .wire import Client, note


class Answer:
    """What came on one stream."""

    def __init__(self):
        self.status, self.fields, self.body, self.trailers, self.interim = None, [], b"", [], []
        self.whole, self.reset = False, None

    def get(self, name, default=None):
        found = [value for key, value in self.fields if key == name.lower()]
        assert len(found) < 2, f"{name} stands {len(found)} times: {found}"
        return found[0] if found else default

    def __repr__(self):
        return f"<{self.status} {self.fields} body {self.body[:300]!r} trailers {self.trailers} reset {self.reset}>"


class H2:
    """One connection. `windows`: open them as bodies come; without, the test does. What came on each stream is in `.answers`.
    `stream` is a Client with a TLS session in which to speak, else one is made."""

    def __init__(self, proxy, windows=True, settings=None, greet=True, stream=None):
        self.proxy, self.windows, self.token = proxy, windows, None
        self.stream = stream or Client(("127.0.0.1", proxy.port), "h2 client", proxy.network)
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False,
            validate_inbound_headers=True)
        self.connection = h2.connection.H2Connection(config)
        self.answers, self.goaway, self.last, self.closed, self.acked, self.announced = {}, None, None, False, 0, {}
        if settings:
            self.connection.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        if greet:
            self.connection.initiate_connection()
            self.flush()
            self.until(lambda: self.announced, "its SETTINGS")

    # --- saying ---

    def flush(self):
        data = self.connection.data_to_send()
        if data:
            self.raw(data)

    def raw(self, data):
        self.stream.send(data)

    def head(self, path="/api/x", *fields, method="GET", authority="", scheme="http", token="", proxy_token=""):
        """The fields of a head in their order; with None a pseudo-field is left out."""
        pseudo = [(":method", method), (":scheme", scheme), (":authority", f"127.0.0.1:{self.proxy.port}" if authority == "" else authority), (":path", path)]
        if token == "" and proxy_token:
            token = None
        elif token == "":
            token = self.token = self.token or self.proxy.token()
        shown = [("authorization", f"Bearer {token}")] if token else []
        if proxy_token:
            shown.append(("proxy-authorization", f"Bearer {proxy_token}"))
        return [pair for pair in pseudo if pair[1] is not None] + shown + list(fields)

    def request(self, path="/api/x", *fields, end=True, **more):
        """Opens a stream; returns its number."""
        return self.open(self.head(path, *fields, **more), end)

    def open(self, fields, end=True):
        number = self.connection.get_next_available_stream_id()
        self.answers[number] = Answer()
        self.connection.send_headers(number, fields, end_stream=end)
        self.flush()
        return number

    def data(self, number, data=b"", end=False):
        """A piece of a body, as the windows let it go; what stands in the way is waited for. Nothing once the stream is reset."""
        answer = self.answers[number]
        while data:
            if answer.reset is not None:
                return
            room = min(self.room(number), self.connection.max_outbound_frame_size, len(data))
            if room == 0:
                self.until(lambda: answer.reset is not None or self.room(number) > 0, "room in the window")
                continue
            self.connection.send_data(number, data[:room], end_stream=end and room == len(data))
            data = data[room:]
            self.flush()
            if not data:
                return
        self.connection.send_data(number, b"", end_stream=end)
        self.flush()

    def room(self, number):
        return self.connection.local_flow_control_window(number)

    def trailers(self, number, *fields):
        self.connection.send_headers(number, list(fields), end_stream=True)
        self.flush()

    def reset(self, number, code=8):
        self.connection.reset_stream(number, code)
        self.flush()

    # --- hearing ---

    def hear(self):
        """One more piece of what comes; False at the end."""
        if not self.stream.receive():
            self.closed = True
            return False
        while len(self.stream.buffer) >= 9 and len(self.stream.buffer) >= (size := 9 + int.from_bytes(self.stream.buffer[:3], "big")):
            data, self.stream.buffer = self.stream.buffer[:size], self.stream.buffer[size:]
            for event in self.connection.receive_data(data):
                self.take(event)
            # Behind a GOAWAY the streams under way go on (RFC 9113 section 6.8); python-h2 takes it for the end of all.
            self.connection.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        try:
            self.flush()
        except ConnectionError:
            note("h2 client", "sent", "[it has closed]")
        return True

    def take(self, event):
        note("h2 client", "heard", repr(event))
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.announced.update({key: change.new_value for key, change in event.changed_settings.items()})
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = (int(event.error_code), (event.additional_data or b"").decode())
            self.last = event.last_stream_id
        elif isinstance(event, h2.events.PingAckReceived):
            self.acked += 1
        elif getattr(event, "stream_id", 0):
            self.take_of_stream(event, self.answers.setdefault(event.stream_id, Answer()))

    def take_of_stream(self, event, answer):
        if isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(dict(event.headers))
        elif isinstance(event, h2.events.ResponseReceived):
            fields = list(event.headers)
            answer.status, answer.fields = int(fields[0][1]), fields[1:]
        elif isinstance(event, h2.events.DataReceived):
            EVIDENCE.add("h2 client", event.data)
            answer.body += event.data
            if self.windows and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            answer.whole = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)
        for name, value in getattr(event, "headers", None) or []:
            EVIDENCE.add("h2 client", f"{name}: {value}")

    def until(self, condition, what):
        while not condition():
            assert self.hear(), f"closed before {what}; GOAWAY {self.goaway}"
        return condition()

    def answer(self, number, reset=False):
        """The whole answer on a stream; with `reset`, until it is reset."""
        answer = self.answers[number]
        self.until(lambda: answer.reset is not None if reset else answer.whole or answer.reset is not None, f"the end of stream {number}")
        assert reset or answer.whole, answer
        return answer

    def ask(self, *head, **more):
        return self.answer(self.request(*head, **more))

    def end(self):
        """Hears until the connection closes; returns the code and the text of the GOAWAY, or None."""
        while self.hear():
            pass
        return self.goaway

    def close(self):
        self.stream.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
