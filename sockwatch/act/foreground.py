"""Wait for a program as the shell's job that we are: with its signals, stops and status."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from sockwatch.act.program import Program
from sockwatch.kernel.signalfd import FROM_KERNEL, Received, SignalFd

# What we pass on to the program, unless the terminal has sent it to the program too.
FORWARDED: Final = frozenset(
    {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}
    | {signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGWINCH}
)
STOPS: Final = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
BLOCKED: Final = FORWARDED | STOPS | {signal.SIGCHLD}
BY_SIGNAL: Final = 128  # what a shell adds to the number of the signal


class Companion(Protocol):
    """What goes on beside the program, in this process."""

    def ready_fds(self) -> Iterable[tuple[int, Callable[[], object]]]:
        """What to call when which fd is readable."""

    def due_s(self) -> float | None:
        """In how many seconds do_due() is to be called; None if not at all."""

    def do_due(self) -> None:
        """Do what is due."""

    def stopping(self) -> None:
        """Be ready for this process to be stopped, as a job of the shell."""

    def resumed(self) -> None:
        """It goes on."""

    def child_ended(self, pid: int) -> None:
        """A child that is not the program has ended."""


class Foreground:
    """Blocks signals from its creation until close(). Create it before the program is forked."""

    def __init__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        self.newly_blocked = frozenset(BLOCKED - self._before)
        # Where our parent ignores it, the kernel would not tell us how the program has ended.
        self._on_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._signals = SignalFd(BLOCKED)

    def close(self) -> None:
        """Let signals act on this process again; one that has come for the program does not."""
        for _ in self._signals.take():
            pass
        self._signals.close()
        signal.signal(signal.SIGCHLD, self._on_child)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def wait(self, program: Program, companion: Companion) -> int:
        """The program's exit status, as the shell's $?."""
        pidfd = program.pidfd
        while (status := self._reap(program, pidfd, companion)) is None:
            self._serve(program, pidfd, companion)
        return status

    def _serve(self, program: Program, pidfd: int, companion: Companion) -> None:
        handlers = dict(companion.ready_fds())
        poll = select.poll()
        for fd in (self._signals.fd, *handlers):
            poll.register(fd, select.POLLIN)
        due_s = companion.due_s()
        for fd, _ in poll.poll(None if due_s is None else due_s * 1000 + 1):
            if fd in handlers:
                handlers[fd]()
        companion.do_due()
        received = list(self._signals.take())
        for each in received:
            if each.number in FORWARDED and not _has_it(program, each):
                _signal(pidfd, each.number)
        if any(each.number in STOPS for each in received):
            self._stop(pidfd, companion)

    def _stop(self, pidfd: int, companion: Companion) -> None:
        """Stop as a job does, until the shell continues us; the program then goes on too."""
        companion.stopping()
        # Not SIGSTOP: without a shell that could continue us, the kernel ignores this one. If one
        # is pending already, it remains one.
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
        companion.resumed()
        _signal(pidfd, signal.SIGCONT)

    def _reap(self, program: Program, pidfd: int, companion: Companion) -> int | None:
        """The exit status of the program; None while it runs."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return BY_SIGNAL  # somebody else has waited for it
            if pid == 0:
                return None
            if os.WIFSTOPPED(status):
                if pid == program.pid:
                    self._stop(pidfd, companion)
            elif pid == program.pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else BY_SIGNAL - code
            else:
                companion.child_ended(pid)


def _has_it(program: Program, received: Received) -> bool:
    """Whether the program has the signal too: by the terminal, or by its process group."""
    if received.code == FROM_KERNEL:
        # The end of the terminal is told to who leads the session, and to nobody else.
        return received.number != signal.SIGHUP or os.getsid(0) != os.getpid()
    return received.pid == program.pid


def _signal(pidfd: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        signal.pidfd_send_signal(pidfd, number)
