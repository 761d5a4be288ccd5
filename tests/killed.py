"""A process of its own that is killed at a chosen step, for what must survive just that."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path


@contextlib.contextmanager
def quick_folder():
    """A folder for what a killed process leaves: in memory where that can be had.

    The system goes on when a process is killed, so what was written is there, synced or not; the
    waits for a disk would show nothing.
    """
    memory = "/dev/shm"  # noqa: S108 - a private folder is made in it
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="whorl-", dir=where) as folder:
        yield Path(folder)


def killed_at_line(work, files, line):
    """Do `work` in a child that is killed at the n-th line it runs in `files`; whether it lived.

    The child is a fork, so that it may begin in the middle of a test. It must open its own files.
    """
    return _in_child(lambda: _trace(work, {str(file) for file in files}, line))


def killed_at_call(work, call):
    """Do `work(step)` in a child, killed at the n-th call that `step` has wrapped; if it lived.

    `step(owner, *names)` makes those methods of an object count.
    """
    left = call

    def step(owner, *names):
        for name in names:
            setattr(owner, name, _counted(getattr(owner, name)))

    def _counted(method):
        def counted(*args, **kwargs):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return method(*args, **kwargs)

        return counted

    return _in_child(lambda: work(step))


def _trace(work, files, line):
    left = line

    def local(frame, event, arg):
        nonlocal left
        if event == "line":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return local

    def tracer(frame, event, arg):
        return local if frame.f_code.co_filename in files else None

    sys.settrace(tracer)
    work()


def _in_child(work):
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            # Without pytest's own ending, which belongs to the parent.
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL}, f"the child ended with {code}"
    return code == 0
