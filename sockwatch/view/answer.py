"""The verdict on a request, and on each choice of its reuse flags."""

from __future__ import annotations

from typing import Final, NamedTuple

from sockwatch.bind import BindRequest, Verdict, matrix
from sockwatch.bind.again import request_without_flags
from sockwatch.bind.causes import with_causes
from sockwatch.bind.ending import servers
from sockwatch.model import Port, Snapshot
from sockwatch.units import host
from sockwatch.view import names
from sockwatch.view.request import SWITCHES

FLAG_PAIRS: Final = {
    (False, False): "no flags",
    (True, False): "SO_REUSEADDR",
    (False, True): "SO_REUSEPORT",
    (True, True): "both",
}
WILDCARD: Final = "0.0.0.0"  # noqa: S104 - the address in question, nothing is bound


class Answer(NamedTuple):
    """The verdict for a request, and for each choice of its flags.

    The key of `matrix` is (reuseaddr, reuseport); its verdicts have neither causes nor fixes.
    """

    verdict: Verdict
    matrix: dict[tuple[bool, bool], Verdict]

    @classmethod
    def to(cls, request: BindRequest, snapshot: Snapshot) -> Answer:
        """Raises SockwatchError if the snapshot was taken of another port only."""
        verdicts = matrix(request, snapshot)
        verdict = verdicts[request.reuseaddr, request.reuseport]
        return cls(with_causes(verdict, snapshot, verdicts), verdicts)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What each choice of flags would get."""
        return tuple(verdict.outcome for verdict in self.matrix.values())


def new_request(port: Port) -> BindRequest:
    """What a server like the port's would ask for, without flags; the wildcard if it has none."""
    server = next(iter(servers(port)), None)
    if server is None:
        return BindRequest(port.protocol, WILDCARD, port.number)
    return request_without_flags(server)


def outcome_words(outcome: str) -> str:
    """``succeeds``, ``EADDRINUSE``, ``bind() succeeds, listen() gets EADDRINUSE``."""
    if outcome == "ok":
        return "succeeds"
    if outcome == "depends":
        return "it depends"
    if outcome.startswith("listen "):
        return f"bind() succeeds, listen() gets {outcome.removeprefix('listen ')}"
    return outcome


def flags_line(answer: Answer) -> str:
    """What the flags change: ``EADDRINUSE with any flags``, ``... without SO_REUSEADDR``."""
    by_flags = {pair: outcome_words(v.outcome) for pair, v in answer.matrix.items()}
    plain, addr, port, both = (by_flags[pair] for pair in FLAG_PAIRS)
    if plain == addr == port == both:
        return f"{plain} with any flags"
    for name, off, on in (
        ("SO_REUSEADDR", (plain, port), (addr, both)),
        ("SO_REUSEPORT", (plain, addr), (port, both)),
    ):
        if len(set(off)) == len(set(on)) == 1:
            return f"{on[0]} with {name}, {off[0]} without"
    return ", ".join(f"{outcome} with {FLAG_PAIRS[pair]}" for pair, outcome in by_flags.items())


def request_words(request: BindRequest) -> str:
    """What is asked for beside the port: ``0.0.0.0 (reuseaddr, uid 33)``."""
    options = [name for name in SWITCHES if getattr(request, name)]
    options += [names.uid_name(request.uid)] if request.uid is not None else []
    options += [f"device {request.device}"] if request.device is not None else []
    what = host(request.address)
    return f"{what} ({', '.join(options)})" if options else what
