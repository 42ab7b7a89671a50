"""Random histories of one port, played on the kernel, with a verdict before every bind and listen.

A history is a list of small tuples; numbers that name a socket count modulo those there are, so
that any list is a history and shrinking stays simple.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sockwatch.bind import BindRequest, explain_bind
from sockwatch.bind.overlap import ClassifiedAddress, classify
from sockwatch.bind.shortcut import covers
from sockwatch.model import UNKNOWN_FLAGS, Port, Protocol, Snapshot
from tests.bind.calls import abort, attempt, set_flags
from tests.bind.oracle import FACTS, FIRST_PORT, OTHER_UID, Shared, Stage, Tracked, read_snapshot
from tests.bind.states import FLAG_PAIRS, SECOND_ADDRESSES, Address

Step = tuple[str, int, int, int, int]  # operation, then what it needs: indices
History = tuple[Step, ...]
MAX_SOCKETS = 12


class Judgement(NamedTuple):
    """A verdict beside the kernel's answer.

    `memory` says whether our model of the kernel's memory lets the socket in, None that it may;
    `flags_changed` that flags were set after a bind or listen; `later` is the verdict on what
    was there after the call; `masked` the verdict with no flag known.
    """

    call: str
    request: BindRequest
    verdict: Said
    later: Said
    masked: Said
    kernel: str
    memory: bool | None
    flags_changed: bool
    ports: tuple[Port, ...]

    def complaint(self) -> str | None:
        """What is wrong with the verdicts; None if nothing is."""
        expected = {self.kernel, "depends"}
        if self.kernel == "ok" and self.memory is not False:
            expected.add("EADDRINUSE")
        for name, said in (("verdict", self.verdict), ("masked", self.masked)):
            if self.later.answer == self.kernel:
                continue
            if said.answer not in expected:
                return f"{name} {said.answer}, kernel {self.kernel}"
            admitted = "port-memory" in said.gaps or self.flags_changed
            if said.answer == "EADDRINUSE" and self.kernel == "ok" and not admitted:
                return f"{name}: ok by the kernel's memory, and nobody said so"
        if self.verdict.answer == "depends" and self.verdict.unknowns == ():
            return "depends, but not on what"
        if self.memory is True and self.kernel != "ok":
            return "our model of the memory is wrong"
        return None


class Said(NamedTuple):
    """The answer of a verdict for the call, what it depends on, and the gaps."""

    answer: str
    unknowns: tuple[str, ...]
    gaps: tuple[str, ...]


@dataclass
class Memory:
    """The kernel's memory of the last SO_REUSEPORT binder of a port, as the facts tell it."""

    held: tuple[int, ClassifiedAddress] | None = None
    fading: bool = False  # no socket is left that asked for the port: 6.18 may have forgotten

    def matches(self, request: BindRequest) -> bool | None:
        """Whether the memory lets the request in; None that it may."""
        if self.held is None or not request.reuseport:
            return False
        uid, there = self.held
        if uid != request.uid or not covers(there, _place(request)):
            return False
        return None if self.fading else True

    def learn(self, request: BindRequest) -> None:
        """Remember a bind() that succeeded."""
        if not request.reuseport:
            self.held = None
        elif not self.matches(request):
            self.held = (request.uid or 0, _place(request))
        self.fading = False


def _place(request: BindRequest) -> ClassifiedAddress:
    return classify(request.family, request.address, request.v6only, bound=True)


class Player:
    """Plays one history on a stage and collects the judgements."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.memory = Memory()
        self.flags_changed = False
        self.judgements: list[Judgement] = []

    def play(self, history: Sequence[Step]) -> list[Judgement]:
        """Carry out the steps, and judge each bind() and listen()."""
        for name, *numbers in history:
            if not any(t.explicit and t.sock is not None for t in self.stage.tracked):
                self.memory.fading = True
            if len(self.stage.tracked) < MAX_SOCKETS or name not in ("bind", "accept", "auto"):
                getattr(self, f"do_{name}")(*numbers)
        return self.judgements

    def do_bind(self, which: int, flags: int, uid: int, _: int) -> None:
        address: Address = SECOND_ADDRESSES[which % len(SECOND_ADDRESSES)]
        reuseaddr, reuseport = FLAG_PAIRS[flags % 4]
        request = BindRequest(
            self.stage.protocol, address.text, self.stage.port, reuseaddr=reuseaddr,
            reuseport=reuseport, v6only=address.v6only, uid=OTHER_UID if uid % 4 == 3 else 0,
        )  # fmt: skip
        snapshot = read_snapshot(self.stage)
        assert request.uid is not None
        one = self.stage.make(request.family, reuseaddr, reuseport, address.v6only, request.uid)
        answer = attempt(lambda: self.stage.bind(one, address.text))
        self._judge("bind", one, request, snapshot, answer)
        if answer != "ok":
            self.stage.tracked.remove(one)
            one.close()

    def do_listen(self, which: int, *_: int) -> None:
        one = self._pick(which, lambda t: t.explicit and t.state == 7 and t.ends is None)
        if one is None or one.sock is None or self.stage.protocol == "udp":
            return
        one.refresh()
        request = BindRequest(
            "tcp", one.address, self.stage.port, reuseaddr=bool(one.flags.reuseaddr),
            reuseport=bool(one.flags.reuseport), v6only=one.v6only and one.address == "::",
            uid=one.uid,
        )  # fmt: skip
        snapshot = self._others(one)
        sock = one.sock
        answer = attempt(lambda: sock.listen(16))
        self._judge("listen", one, request, snapshot, answer)

    def do_accept(self, which: int, take: int, route: int, _: int) -> None:
        waiting = [t for t in self.stage.tracked if t.queue is not None and t.queue.sock]
        if waiting:
            self.stage.take(waiting[0])
            return
        one = self._pick(which, lambda t: t.state == 10)
        if one is None:
            return
        target = one.address.removeprefix("::ffff:")
        if target in ("0.0.0.0", "::"):
            native = target == "::" and (one.v6only or route % 2 == 0)
            target = "::1" if native else "127.0.0.1"
        self.stage.accept(target, take=take % 4 != 0)

    def do_connect(self, which: int, route: int, *_: int) -> None:
        one = self._pick(which, lambda t: t.state == 7 and t.explicit and t.peer is None)
        if one is not None:
            self._connect(one, route, automatic=False)

    def do_auto(self, which: int, flags: int, route: int, _: int) -> None:
        address = SECOND_ADDRESSES[which % len(SECOND_ADDRESSES)]
        one = self.stage.make(address.family, *FLAG_PAIRS[flags % 4], address.v6only)
        if not self._connect(one, route, automatic=True):
            self.stage.tracked.remove(one)
            one.close()

    def _connect(self, one: Tracked, route: int, *, automatic: bool) -> bool:
        one.refresh()
        target = "127.0.0.1"
        if one.family == "ipv6":
            mapped = not automatic and one.address.startswith("::ffff:")
            target = "127.0.0.1" if mapped or (route % 2 and not one.v6only) else "::1"
        try:
            self.stage.connect(one, target, automatic=automatic)
        except OSError as error:
            # No port, no new 4-tuple, or the reset of an earlier connection.
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAGAIN, errno.ECONNRESET):
                return False
            raise
        return True

    def do_flags(self, which: int, flags: int, *_: int) -> None:
        one = self._pick(which, lambda _: True)
        if one is not None and one.sock is not None:
            set_flags(one.sock, *FLAG_PAIRS[flags % 4])
            self.flags_changed = True

    def do_close(self, which: int, *_: int) -> None:
        one = self._pick(which, lambda _: True)
        if one is None:
            return
        one.close()
        if one.explicit and one.peer is None:
            self.stage.tracked.remove(one)

    def do_far_close(self, which: int, how: int, *_: int) -> None:
        """The far end of a connection closes it, or resets it."""
        connected = [t for t in self.stage.tracked if t.peer is not None]
        if not connected:
            return
        peer = connected[which % len(connected)].peer
        assert peer is not None
        abort(peer) if how % 4 == 0 else peer.close()
        connected[which % len(connected)].peer = None

    def _pick(self, which: int, fits: object) -> Tracked | None:
        assert callable(fits)
        found = [t for t in self.stage.tracked if t.sock is not None and fits(t)]
        return found[which % len(found)] if found else None

    def _judge(
        self, call: str, one: Tracked, request: BindRequest, snapshot: Snapshot, answer: str
    ) -> None:
        def said(snapshot: Snapshot) -> Said:
            verdict = explain_bind(request, snapshot, FACTS)
            return Said(
                str(verdict.bind if call == "bind" else verdict.listen),
                tuple(c.unknown for c in verdict.conditions),
                tuple(g.code for g in verdict.gaps),
            )

        # A closing connection may have become a mini socket while we looked.
        first = said(snapshot)
        later = first if answer == first.answer else said(self._others(one))
        self.judgements.append(
            Judgement(
                call,
                request,
                first,
                later,
                said(without_flags(snapshot)),
                answer,
                self.memory.matches(request),
                self.flags_changed,
                snapshot.ports,
            )
        )
        if answer == "ok" and request.protocol == "tcp":
            self.memory.learn(request)

    def _others(self, one: Tracked) -> Snapshot:
        """The snapshot without one of our sockets."""
        self.stage.tracked.remove(one)
        snapshot = read_snapshot(self.stage)
        self.stage.tracked.append(one)
        return snapshot


def without_flags(snapshot: Snapshot) -> Snapshot:
    """The snapshot as somebody sees it who may not read the reuse flags."""
    ports = tuple(
        p._replace(
            listeners=tuple(s._replace(flags=UNKNOWN_FLAGS) for s in p.listeners),
            bound=tuple(s._replace(flags=UNKNOWN_FLAGS) for s in p.bound),
            groups=tuple(g._replace(flags=UNKNOWN_FLAGS) for g in p.groups),
        )
        for p in snapshot.ports
    )
    return replace(snapshot, ports=ports)


def play_all(histories: Sequence[tuple[Protocol, History]]) -> list[list[Judgement]]:
    """Play each history on a fresh port of this process's namespace."""
    shared = Shared()
    played = []
    for port, (protocol, history) in enumerate(histories, FIRST_PORT):
        stage = Stage(protocol, port, shared)
        try:
            played.append(Player(stage).play(history))
        finally:
            stage.close()
    return played
