"""A program on a terminal of its own: what it shows, what is typed, whether it echoes."""

import fcntl
import os
import pty
import select
import signal
import termios
import time

PATIENCE = 20.0


class Terminal:
    def __init__(self, argv, env, cwd, input=None):
        """`input` (a file descriptor) takes the terminal's place as standard input."""
        self.master, slave = pty.openpty()
        self.shown = b""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for number in range(3):
                    os.dup2(slave if number or input is None else input, number)
                os.chdir(cwd)
                os.execve(argv[0], [os.fspath(word) for word in argv], env)
            finally:
                os._exit(127)
        self.slave = slave

    def read_some(self, patience):
        if not select.select([self.master], [], [], patience)[0]:
            return False
        self.shown += os.read(self.master, 4096)
        return True

    def expect(self, text, count=1):
        """Waits until `text` was shown `count` times."""
        deadline = time.monotonic() + PATIENCE
        while self.shown.count(text.encode()) < count:
            left = deadline - time.monotonic()
            assert left > 0 and self.read_some(left), f"waited for {text!r}; shown was {self.shown!r}"

    def type(self, data):
        data = data.encode() if isinstance(data, str) else data
        while data:  # a terminal takes 4 KiB at a time
            data = data[os.write(self.master, data[:1024]) :]

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def end(self):
        """Waits for its end; returns the exit status and all that was shown."""
        deadline = time.monotonic() + PATIENCE
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"it did not end within {PATIENCE} s; shown was {self.shown!r}")
            self.read_some(0.01)
        while self.read_some(0):
            pass
        self.echo_at_end = self.echoes()
        os.close(self.slave)
        os.close(self.master)
        return os.waitstatus_to_exitcode(ended[1]), self.shown.decode()
