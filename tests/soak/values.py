"""Which values of a secret an origin may have got, and when. No I/O."""
import math
import time

LATE = 2.0    # s, for which a value may still come once it was replaced: proxyd has one (SPEC 11), its 100 ms of quiet, and the machine
COARSE = 0.1  # s by which an origin's log may be behind the time


class Values:
    """The values that one secret had. Times are time.time()."""

    def __init__(self, value):
        self.current, self.changes = value, 0
        self.lives = {value: [0.0, math.inf]}

    def change(self, value, put):
        """`put(value)` puts it where proxyd reads it; until that is done, both count."""
        self.lives[value] = [time.time(), math.inf]
        put(value)
        self.lives[self.current][1] = time.time()
        self.current = value
        self.changes += 1

    def fault(self, value, at):
        """What is wrong with `value` in a request that an origin logged at `at`; None: nothing. No value is told."""
        began, ended = self.lives.get(value, (None, None))
        if began is None:
            return 'a value that the secret never had'
        if at < began - COARSE:
            return f'a value {began - at:.1f} s before it came'
        if at > ended + LATE:
            return f'a value that was replaced {at - ended:.1f} s before'
        return None
