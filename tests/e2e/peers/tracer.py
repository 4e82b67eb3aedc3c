"""Runs a program and kills it at its n-th system call: every moment at which a power cut could find it."""

import ctypes
import os
import signal

from . import sanitizers

TRACEME, CONT, SYSCALL, SETOPTIONS = 0, 7, 24, 0x4200
EXITKILL = 0x100000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def start(argv, input, env, cwd):
    """The child, stopped at its first instruction; its input is `input`, its output goes nowhere."""
    if "ASAN_OPTIONS" in env:  # the search for leaks is itself a tracer, and there is one already
        env = {**env, "ASAN_OPTIONS": env["ASAN_OPTIONS"] + ":detect_leaks=0"}
    reader, writer = os.pipe()
    os.write(writer, input)  # all inputs here fit a pipe
    os.close(writer)
    pid = os.fork()
    if pid == 0:
        try:
            null = os.open("/dev/null", os.O_WRONLY)
            os.dup2(reader, 0)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os.chdir(cwd)
            libc.ptrace(TRACEME, 0, None, None)
            os.execve(argv[0], argv, env)
        finally:
            os._exit(127)
    os.close(reader)
    os.waitpid(pid, 0)
    ptrace(SETOPTIONS, pid, EXITKILL)
    return pid


def counts_vary():
    """A sanitizer does not make the same number of system calls in every run."""
    return sanitizers.in_use()


def run_until(argv, stops, input=b"", env=None, cwd="."):
    """Lets the program run for `stops` stops (each system call has two: before and behind it), then kills it. Returns how
    many stops there were and, where it ended by itself, its exit status (else None)."""
    pid = start([os.fspath(word) for word in argv], input, env or {}, cwd)
    seen, deliver = 0, 0
    while True:
        if seen == stops:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return seen, None
        ptrace(SYSCALL, pid, deliver)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return seen, os.waitstatus_to_exitcode(status)
        trap = os.WSTOPSIG(status) == signal.SIGTRAP
        seen += trap
        deliver = 0 if trap else os.WSTOPSIG(status)
