"""What was seen where: every byte a client got, every log, so that a canary can be looked for at the end."""

import base64
import secrets
import threading
import urllib.parse

CANARY = "CANARY" + secrets.token_hex(8)  # a part of every secret of this run


def secret(label="x"):
    """A new secret that holds the canary."""
    return f"{label}-{CANARY}-{secrets.token_hex(4)}"


def needles():
    """The canary in every form in which it could stand in a log: as it is, in Base64 at each of three offsets."""
    found = {"plain": CANARY.encode()}
    for offset in range(3):
        text = base64.b64encode(b"x" * offset + CANARY.encode())
        found[f"base64 at {offset}"] = text[4 if offset else 0 : len(text) - 4]
    found["percent"] = "".join(f"%{b:02X}" for b in CANARY.encode()).encode()
    found["hex"] = CANARY.encode().hex().encode()
    return found


def find(data):
    """The names of the forms in which the canary stands in `data`."""
    if isinstance(data, str):
        data = data.encode(errors="surrogateescape")
    return [name for name, needle in needles().items() if needle in data or needle in urllib.parse.unquote_to_bytes(data)]


class Evidence:
    """Pieces by where they were seen; only finds are kept, so that a long session stays small."""

    def __init__(self):
        self.lock = threading.Lock()
        self.bytes = {}
        self.finds = []
        self.test = ""  # the one that runs

    def add(self, where, data):
        if isinstance(data, str):
            data = data.encode(errors="surrogateescape")
        forms = find(data)
        with self.lock:
            self.bytes[where] = self.bytes.get(where, 0) + len(data)
            for form in forms:
                self.finds.append(f"{where}: the canary, {form}, in {self.test}")


EVIDENCE = Evidence()
