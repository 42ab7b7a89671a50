"""`sockwatch wait`: until a request would succeed, or until something listens."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sockwatch.cli.command import Parser, UsageError, add_json
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_data, write_json
from sockwatch.cli.place import Place
from sockwatch.cli.request import add_request, asked_requests, verdicts_exit_code
from sockwatch.model import KernelError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sockwatch.act.listening import Found
    from sockwatch.act.waiting import Standing
    from sockwatch.bind.pair import RequestPair
    from sockwatch.kernel.snapshot import SnapshotReader
    from sockwatch.model import Protocol, Snapshot, Socket

NAME = "wait"
SUMMARY = "until bind() would succeed, or until something listens"
DESCRIPTION = """\
Wait until bind() and listen() would succeed on every PORT, with exactly these
options. Nothing is bound, and nobody is disturbed. With --listening, wait until
a server listens there; nothing is connected.

What is waited for is told on stderr, whenever that changes. Without --timeout,
only what ends by itself is waited for, such as TIME_WAITs and the connections
of a server that has ended; a server that runs is not."""
EPILOG = """\
Exits with 0 if it is free (or listens), 1 if it is not when the time is over or
when waiting cannot help, 3 if that cannot be determined."""
OF_A_REQUEST: Final = ("reuseaddr", "reuseport", "v6only", "freebind", "uid")
# How much later than its clock says a TIME_WAIT ends: the kernel's timers are that coarse.
CLOCK_SLACK_S: Final = 5.0
IN_VAIN: Final = (
    "nothing shows that this will change, so that waiting cannot help; "
    "--timeout SECONDS waits all the same"
)


def add_arguments(parser: Parser) -> None:
    """The request, ``--timeout``, ``--listening`` and ``--json``."""
    add_request(parser)
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="wait so long, whatever is in the way; inf: for ever",
    )
    parser.add_argument(
        "--listening", action="store_true", help="until a server listens there instead"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> ExitCode:
    """Wait, and say how it ended. Raises UsageError, KernelError."""
    if os.getpid() == 1:  # as in a container: the kernel keeps SIGTERM from those who ignore it
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    with Place(options.netns) as place:
        pairs = asked_requests(options, place)
        if any(pair.request.port == 0 for pair in pairs):
            raise UsageError("port 0 lets the kernel choose a free port; type the port to wait for")
        if not options.listening:
            return _until_free(pairs, place, options)
        for name in OF_A_REQUEST:
            value = getattr(options, name)
            if value is not None and value is not False:  # uid 0 is asked for too
                raise UsageError(f"--listening asks for no bind(): type it without --{name}")
        return _until_listening(pairs, place, options)


def _until_free(
    pairs: Sequence[RequestPair], place: Place, options: argparse.Namespace
) -> ExitCode:
    from sockwatch.act.waiting import Judge, take_now, wait_until_free
    from sockwatch.cli.wait_document import free_document
    from sockwatch.kernel.snapshot import SnapshotReader
    from sockwatch.kernel.wakeups import Wakeups
    from sockwatch.view.waiting import ended_text

    ports = {pair.request.port for pair in pairs}
    narrator = _Narrator(options.timeout)
    with SnapshotReader() as reader, Wakeups(ports, everywhere=place.netns is not None) as wakeups:

        def look(port: int, is_free: Judge) -> Snapshot:
            return place.take(partial(take_now, reader, port, is_free), port)

        standing = wait_until_free(pairs, look, wakeups, options.timeout, narrator.standing)
    if options.json:
        _write(free_document(standing, place, narrator.waited_s, options.timeout))
    else:
        for verdicts in standing.verdicts:
            write_data(f"{ended_text(verdicts, narrator.waited_s)}\n")
    if options.timeout is None and not standing.is_free:
        narrate(IN_VAIN)
    return verdicts_exit_code(standing.all())


def _until_listening(
    pairs: Sequence[RequestPair], place: Place, options: argparse.Namespace
) -> ExitCode:
    from sockwatch.act.listening import Sought, wait_until_listening
    from sockwatch.bind.pair import DUAL_STACK
    from sockwatch.cli.wait_document import listening_document
    from sockwatch.kernel.snapshot import SnapshotReader
    from sockwatch.view.waiting import found_text

    def sought(pair: RequestPair) -> Sought:
        request = pair.request
        is_any = pair.also == DUAL_STACK
        addresses = () if is_any else tuple(filter(None, (request.address, pair.also)))
        return Sought(request.protocol, addresses, request.port, options.device)

    narrator = _Narrator(options.timeout)
    with SnapshotReader() as reader:
        found = wait_until_listening(
            [sought(pair) for pair in pairs],
            partial(_read_listeners, reader, place),
            options.timeout,
            narrator.found,
        )
        found = tuple(_with_holders(one, reader, place) for one in found)
    if options.json:
        _write(listening_document(found, place, narrator.waited_s))
    else:
        for one in found:
            write_data(f"{found_text(one, narrator.waited_s)}\n")
    if all(one.accepting for one in found):
        return ExitCode.YES
    is_unknown = all(one.accepting or one.is_unknown for one in found)
    return ExitCode.UNKNOWN if is_unknown else ExitCode.NO


def _read_listeners(
    reader: SnapshotReader, place: Place, protocol: Protocol, port: int
) -> Sequence[Socket]:
    """By the quick look, or else by a snapshot where sock_diag or the namespace is closed to us."""
    from sockwatch.kernel.listeners import read_listeners

    try:
        return place.run(partial(read_listeners, protocol, port))
    except KernelError:
        snapshot = place.take(partial(reader.take, port), port)
    seen = snapshot.port(protocol, port)
    return () if seen is None else seen.listeners


def _with_holders(found: Found, reader: SnapshotReader, place: Place) -> Found:
    """The same with the holders of what accepts; none if it has gone meanwhile."""
    if not found.accepting:
        return found
    number = found.sought.port
    seen = place.take(partial(reader.take, number), number).port(found.sought.protocol, number)
    known = {} if seen is None else {sock.cookie: sock for sock in seen.listeners}
    return found._replace(accepting=tuple(known.get(sock.cookie, sock) for sock in found.accepting))


def _write(document: dict[str, Any]) -> None:
    write_json(json.dumps(document, ensure_ascii=False, indent=1) + "\n")


class _Narrator:
    """Says what is waited for, when that changes."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._started = time.monotonic()
        self._said: dict[int, Hashable] = {}  # by the index of the port
        self._clocks: dict[int, float] = {}  # when what was said should be over
        self._has_waited = False

    @property
    def waited_s(self) -> float | None:
        """For how long, until now; None if there was nothing to wait for."""
        return time.monotonic() - self._started if self._has_waited else None

    def standing(self, standing: Standing) -> None:
        """How the requests stand now."""
        from sockwatch.view.waiting import awaited

        if self._timeout_s is None and standing.prospect == "stays":
            return
        self._has_waited = True
        for index, verdicts in enumerate(standing.verdicts):
            one = awaited(verdicts)
            if one is None:
                self._said.pop(index, None)
                continue
            is_late = time.monotonic() > self._clocks.get(index, math.inf) + CLOCK_SLACK_S
            seconds = [verdict.frees_in_s or 0.0 for verdict in verdicts]
            if self._is_new(index, one.key) or is_late:
                self._clocks[index] = time.monotonic() + max(seconds) if max(seconds) else math.inf
                port = verdicts[0].request
                doing = f"waiting for {one.text}" if one.ends else f"{one.text}; {self._anyway()}"
                narrate(f"{port.port}/{port.protocol}: {doing}")

    def found(self, found: tuple[Found, ...]) -> None:
        """What listens now."""
        from sockwatch.view.waiting import missing_text

        self._has_waited = True
        for index, one in enumerate(found):
            if one.accepting:
                self._said.pop(index, None)
            elif self._is_new(index, text := missing_text(one)):
                narrate(f"{one.sought.port}/{one.sought.protocol}: waiting: {text}")

    def _is_new(self, index: int, key: Hashable) -> bool:
        before, self._said[index] = self._said.get(index), key
        return before != key

    def _anyway(self) -> str:
        """What is done about what does not end by itself."""
        assert self._timeout_s is not None
        limit = "" if self._timeout_s == math.inf else f", for {self._timeout_s:g} s at most"
        return f"nothing shows that this will change; waiting all the same{limit}"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0")
    return seconds
