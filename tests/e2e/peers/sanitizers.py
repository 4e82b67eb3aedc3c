"""What sanitizers find in our programs goes to files of their own: in a log, or behind an error that a test expects, it
could be overlooked. A test that left such a file has failed. gcc's UndefinedBehaviorSanitizer writes to standard error even
so; what it ends has exit status 86, as with the others, which no test takes for a good one."""

import os
import pathlib
import tempfile

NAMES = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="keystile-reports-"))


def options():
    """What the environment of our programs needs of the sanitizers' variables."""
    return {name: f"{os.environ[name]}:log_path={FOLDER / name[:4]}" for name in NAMES if name in os.environ}


def in_use():
    return any(name in os.environ for name in NAMES)


def reports():
    """The reports since the last call."""
    found = []
    for path in sorted(FOLDER.iterdir()):
        found.append(path.read_text(errors="replace"))
        path.unlink()
    return found
