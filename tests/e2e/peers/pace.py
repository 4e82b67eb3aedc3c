"""Time for bounds, as the machine had it: what stands still as a whole for a while is late by that, and not slow."""

import threading
import time

TICK, MOST = 0.01, 0.05  # s between two looks at the clock, and what may be between them of time that counts


class Pace:
    """`passed`: seconds since it began in which this process could run. Where proxyd alone stands still, its time counts."""

    def __init__(self):
        self.passed, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        last = time.monotonic()
        while not self.ended.wait(TICK):
            now = time.monotonic()
            self.passed += min(now - last, MOST)
            last = now

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
