"""Run a program, and see each bind() and listen() of it and its descendants that fails."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sockwatch.act.foreground import Companion, Foreground
from sockwatch.act.handover import Handover
from sockwatch.act.processes import STANDARD_FDS
from sockwatch.act.program import Program
from sockwatch.act.standby import REST, SERVE, start_standby
from sockwatch.act.supervisor import Supervisor, Tally
from sockwatch.act.telling import Teller, Telling
from sockwatch.kernel.seccomp.filter import install
from sockwatch.kernel.seccomp.journal import Journal
from sockwatch.kernel.seccomp.notifications import Listener

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
        self._start_standby()

    def ready_fds(self) -> Iterable[tuple[int, Callable[[], object]]]:
        supervisor = self._supervisor
        if supervisor.has_room:
            yield supervisor.listener.fd, supervisor.take
        if supervisor.telling.fd is not None:
            yield supervisor.telling.fd, supervisor.take_replies

    def due_s(self) -> float | None:
        return self._supervisor.due_s

    def do_due(self) -> None:
        self._supervisor.do_due()

    def stopping(self) -> None:
        with suppress(OSError):
            self._orders.send(SERVE)

    def resumed(self) -> None:
        with suppress(OSError):
            self._orders.send(REST)
            self._orders.recv(len(REST))  # it has none of the calls any more

    def child_ended(self, pid: int) -> None:
        if pid == self._standby:
            self._orders.close()
            self._start_standby()

    def _start_standby(self) -> None:
        self._orders, theirs = socket.socketpair()
        self._standby = start_standby(self._supervisor.listener, self._journal, theirs)
        theirs.close()


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
    program. `say_blind` is told why nothing will be seen, before the program starts.
    """
    with _Stage(keep) as stage:
        program = stage.fork(command, environment, install)
        companion: _Supervised | _Watched = _Watched()
        supervisor = None
        try:
            listener_fd = program.prepared()
            assert listener_fd is not None
            journal = Journal()
            telling = Telling(make_teller, keep)
            supervisor = Supervisor(Listener(listener_fd), journal, telling, wait_s, handover)
            companion = _Supervised(supervisor, journal)
        except OSError as error:
            say_blind(_why_blind(error))
            if handover is not None:
                handover.release()
        ending = stage.play(program, companion)
        if supervisor is None:
            return ending
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
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number; the program does not get it
        self._not_ours = {
            fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and _is_inheritable(fd)
        }
        self._not_ours -= set(keep)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a reader that has gone does not end us
        self._foreground = Foreground()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._foreground.close()

    def fork(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        prepare: Callable[[], int | None] = lambda: None,
    ) -> Program:
        """The program, which waits to be released."""
        return Program(command, environment, prepare, self._foreground.newly_blocked)

    def play(self, program: Program, companion: Companion) -> Ending:
        """Release the program, and wait until it has ended."""
        try:
            program.release()
        except OSError as error:
            self._foreground.wait(program, companion)
            status = NOT_FOUND if error.errno == errno.ENOENT else CANNOT_EXECUTE
            return Ending(status, error=error.strerror)
        # Its pipes are at their end when it has closed them, whether or not we are there.
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in (0, 1):
            os.dup2(nowhere, fd)
        os.close(nowhere)
        for fd in self._not_ours:
            os.close(fd)
        return Ending(self._foreground.wait(program, companion))


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:  # that of the listing
        return False
