"""Run a program, and see each bind() and listen() of it and its descendants that fails."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sockwatch.act.foreground import Companion, Foreground
from sockwatch.act.handover import Handover
from sockwatch.act.processes import STANDARD_FDS, open_nowhere
from sockwatch.act.program import Program
from sockwatch.act.standby import REST, SERVE, START_AGAIN_S, start_standby
from sockwatch.act.supervisor import Supervisor, Tally
from sockwatch.act.telling import Teller, Telling
from sockwatch.kernel.seccomp.filter import install
from sockwatch.kernel.seccomp.journal import Journal
from sockwatch.kernel.seccomp.notifications import Listener
from sockwatch.model import SockwatchError
from sockwatch.text import clean

if TYPE_CHECKING:
    from typing_extensions import Self

CANNOT_EXECUTE: Final = 126
NOT_FOUND: Final = 127
PATIENCE_S: Final = 5.0  # for what is still to be told when the program has ended


class Ending(NamedTuple):
    """How the program ended, as $?, and what was seen.

    `error` says why it could not be started; None if it was.
    """

    status: int
    tally: Tally = Tally()
    error: str | None = None


class Watcher(Protocol):
    """A process of ours that sees and tells what fails."""

    def finish(self, patience_s: float) -> Tally:
        """What it has seen, once all of it is told; waits for so many seconds at most."""


class _Supervised:
    """Companion of a program whose calls we make."""

    def __init__(self, supervisor: Supervisor, journal: Journal) -> None:
        self._supervisor = supervisor
        self._journal = journal
        self._orders: socket.socket | None = None
        self._standby = 0  # its pid; 0 while there is none
        self._start_at = 0.0  # time.monotonic(); when there is to be another one
        self._start_standby()

    def ready_fds(self) -> Iterable[tuple[int, Callable[[], object]]]:
        supervisor = self._supervisor
        if supervisor.has_room:
            yield supervisor.listener.fd, supervisor.take
        if supervisor.telling.fd is not None:
            yield supervisor.telling.fd, supervisor.take_replies

    def due_s(self) -> float | None:
        due_s = self._supervisor.due_s
        if self._standby:
            return due_s
        start_s = max(0.0, self._start_at - time.monotonic())
        return start_s if due_s is None else min(due_s, start_s)

    def do_due(self) -> None:
        self._supervisor.do_due()
        if not self._standby and time.monotonic() >= self._start_at:
            self._start_standby()

    def stopping(self) -> None:
        if self._orders is not None:
            with suppress(OSError):
                self._orders.send(SERVE)

    def resumed(self) -> None:
        if self._orders is not None:
            with suppress(OSError):
                self._orders.send(REST)
                self._orders.recv(len(REST))  # it has none of the calls any more

    def child_ended(self, pid: int) -> None:
        if pid == self._standby:
            self._standby = 0

    def _start_standby(self) -> None:
        """Where it cannot be forked, or ends at once, try again a little later."""
        self._start_at = time.monotonic() + START_AGAIN_S
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        with suppress(OSError):
            ours, theirs = socket.socketpair()
            with theirs:
                self._standby = start_standby(self._supervisor.listener, self._journal, theirs)
            self._orders = ours


class _Watched:
    """Companion of a program that somebody else watches; or nobody."""

    def ready_fds(self) -> Iterable[tuple[int, Callable[[], object]]]:
        return ()

    def due_s(self) -> float | None:
        return None

    def do_due(self) -> None:
        pass

    def stopping(self) -> None:
        pass

    def resumed(self) -> None:
        pass

    def child_ended(self, pid: int) -> None:
        pass


def run_supervised(
    command: Sequence[str],
    environment: Mapping[str, str],
    make_teller: Callable[[], Teller],
    *,
    wait_s: float = 0.0,
    keep: tuple[int, ...] = (),
    handover: Handover | None = None,
    say_blind: Callable[[str], object],
) -> Ending:
    """Run it under a seccomp filter, and make its calls; without one where that is refused.

    `make_teller` is called in the process that explains, which keeps stderr and the fds `keep`.
    `wait_s` is how long a call that fails waits to succeed, `handover` has a socket for the
    program. `say_blind` is told why nothing will be seen, before the program starts. Raises
    SockwatchError if no fd is left for the filter; the program is not started then.
    """
    with _Stage(keep) as stage:
        journal = Journal()  # before the filter is there: from then on nothing may fail
        program = stage.fork(command, environment, install)
        try:
            listener_fd = program.prepared()
        except OSError as error:
            say_blind(_why_blind(error))
            if handover is not None:
                handover.release()
            return stage.play(program, _Watched())
        if listener_fd is None:
            raise SockwatchError("no more files can be opened; raise the limit: ulimit -n 1024")
        telling = Telling(make_teller, keep)
        supervisor = Supervisor(Listener(listener_fd), journal, telling, wait_s, handover)
        ending = stage.play(program, _Supervised(supervisor, journal))
        supervisor.telling.finish(PATIENCE_S)
        return ending._replace(tally=supervisor.tally)


def run_alone(command: Sequence[str], environment: Mapping[str, str]) -> Ending:
    """Run it as it is."""
    with _Stage(()) as stage:
        program = stage.fork(command, environment)
        program.prepared()
        return stage.play(program, _Watched())


def run_watched(
    command: Sequence[str],
    environment: Mapping[str, str],
    watcher: Watcher,
    *,
    keep: tuple[int, ...] = (),
) -> Ending:
    """Run it as it is, while `watcher` looks at what fails."""
    with _Stage(keep) as stage:
        program = stage.fork(command, environment)
        program.prepared()
        ending = stage.play(program, _Watched())
        return ending._replace(tally=watcher.finish(PATIENCE_S))


def _why_blind(error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return (
            "its bind() and listen() calls are in the hands of another program already, such as an "
            "outer sockwatch run"
        )
    return f"the kernel refuses a seccomp filter with a listener: {error.strerror}"


class _Stage:
    """Our own signals and fds, while the program has the terminal."""

    def __init__(self, keep: tuple[int, ...]) -> None:
        for fd in STANDARD_FDS:
            with suppress(OSError):
                os.fstat(fd)
                continue
            open_nowhere()  # takes the lowest number; the program does not get it
        self._not_ours = {
            fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and _is_inheritable(fd)
        }
        self._not_ours -= set(keep)
        self._nowhere = open_nowhere()  # now: nothing may fail while the program runs
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a reader that has gone does not end us
        self._foreground = Foreground()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._foreground.close()
        os.close(self._nowhere)

    def fork(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        prepare: Callable[[], int | None] = lambda: None,
    ) -> Program:
        """The program, which waits to be released. Raises SockwatchError."""
        try:
            return Program(command, environment, prepare, self._foreground.newly_blocked)
        except OSError as error:
            raise SockwatchError(
                f"{clean(command[0])} is not started, for want of processes or files: "
                f"{error.strerror}; see ulimit -a"
            ) from error

    def play(self, program: Program, companion: Companion) -> Ending:
        """Release the program, and wait until it has ended."""
        try:
            program.release()
        except OSError as error:
            self._foreground.wait(program, companion)
            status = NOT_FOUND if error.errno == errno.ENOENT else CANNOT_EXECUTE
            return Ending(status, error=error.strerror)
        # Its pipes are at their end when it has closed them, whether or not we are there.
        for fd in (0, 1):
            os.dup2(self._nowhere, fd)
        for fd in self._not_ours:
            os.close(fd)
        return Ending(self._foreground.wait(program, companion))


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:  # that of the listing
        return False
