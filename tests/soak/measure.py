"""What a process takes, as the kernel has it."""

import contextlib
import os
import pathlib

MIB = 1 << 20


def scheduled(folder):
    """Nanoseconds that its threads ran, and that they were ready and waited for a core (Documentation/scheduler/sched-stats.rst)."""
    ran = waited = 0
    for task in (folder / "task").iterdir():
        with contextlib.suppress(OSError):  # one that ended meanwhile
            words = (task / "schedstat").read_text().split()
            ran, waited = ran + int(words[0]), waited + int(words[1])
    return ran, waited


def sample(pid):
    folder = pathlib.Path(f"/proc/{pid}")
    ran, waited = scheduled(folder)
    return {
        "ran": ran / 1e9,
        "waited": waited / 1e9,
        "rss": int((folder / "statm").read_text().split()[1]) * 4096,
        "fds": len(os.listdir(folder / "fd")),
        "threads": len(os.listdir(folder / "task")),
    }
