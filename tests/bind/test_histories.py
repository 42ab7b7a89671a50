"""Random histories of one port against the kernel, and those that once taught us something."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from sockwatch.model import Protocol
from tests.bind.histories import History, Player
from tests.bind.oracle import FIRST_PORT, LAST_PORT, Shared, Stage
from tests.support.sample import SEED
from tests.support.worker import Worker

OPERATIONS = (
    *["bind"] * 6, *["listen"] * 4, *["accept"] * 3, *["connect"] * 2, "auto",
    *["flags"] * 2, *["close"] * 4, *["far_close"] * 2,
)  # fmt: skip
number = st.integers(0, 11)
steps = st.tuples(st.sampled_from(OPERATIONS), number, number, number, number)
histories = st.lists(steps, min_size=8, max_size=30).map(tuple)
NIGHTLY_EXAMPLES = 2500
quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


class Judge:
    """Plays histories in one namespace, each on a port of its own."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.verdicts = 0

    def check(self, protocol: Protocol, history: History) -> None:
        judgements = self._worker.ask((protocol, history))
        self.verdicts += len(judgements)
        for judgement in judgements:
            assert judgement.complaint() is None, judgement


@pytest.fixture
def judge(kernel_oracle: None) -> Iterator[Judge]:
    def prepare() -> object:
        shared = Shared()
        ports = iter(range(FIRST_PORT, LAST_PORT))

        def play(question: tuple[Protocol, History]) -> object:
            protocol, history = question
            stage = Stage(protocol, next(ports), shared)
            try:
                return Player(stage).play(history)
            finally:
                stage.close()

        return play

    with Worker(prepare) as worker:  # type: ignore[arg-type]
        yield Judge(worker)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_histories(judge: Judge, protocol: Protocol) -> None:
    @seed(SEED)
    @settings(max_examples=60, database=None, suppress_health_check=quiet)
    @given(histories)
    def run(history: History) -> None:
        judge.check(protocol, history)

    run()
    assert judge.verdicts > 150


@pytest.mark.exhaustive
@pytest.mark.timeout(0)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_long_histories(judge: Judge, protocol: Protocol) -> None:
    @settings(max_examples=NIGHTLY_EXAMPLES * 2, database=None,
              suppress_health_check=quiet)  # fmt: skip
    @given(histories)
    def run(history: History) -> None:
        judge.check(protocol, history)

    run()
    assert judge.verdicts > 20_000


REGRESSIONS: dict[str, tuple[Protocol, History]] = {
    # A client takes the 4-tuple of our own TIME_WAIT over: the old socket is gone.
    "recycled time-wait": (
        "tcp",
        (
            ("auto", 10, 2, 4, 7), ("close", 10, 10, 8, 10), ("bind", 0, 3, 6, 2),
            ("connect", 1, 5, 2, 2), ("bind", 0, 9, 6, 6),
        ),
    ),
    # An orphan's user counts until its FIN is acknowledged and it becomes a mini socket.
    "orphan turns mini": (
        "tcp",
        (("bind", 3, 2, 0, 0), ("connect", 0, 0, 0, 0), ("close", 0, 0, 0, 0),
         ("bind", 3, 2, 3, 0), ("bind", 3, 3, 3, 0)),
    ),
    # A child accepted by root blocks the sibling of its listener, but the kernel remembers that.
    "child of another user": (
        "tcp",
        (
            ("bind", 7, 2, 11, 6), ("listen", 2, 4, 3, 3), ("bind", 8, 2, 11, 8),
            ("accept", 8, 11, 5, 0), ("listen", 10, 11, 6, 10),
        ),
    ),
    # A v6only :: that is remembered lets a dual-stack :: in beside an IPv4 listener.
    "wildcard that covers more": (
        "tcp",
        (
            ("bind", 0, 0, 0, 0), ("listen", 0, 0, 0, 0), ("bind", 5, 2, 0, 0),
            ("bind", 4, 2, 0, 0), ("bind", 4, 0, 0, 0),
        ),
    ),
    "wildcard that covers more, gone": (
        "tcp",
        (
            ("bind", 0, 0, 0, 0), ("listen", 0, 0, 0, 0), ("bind", 5, 2, 0, 0),
            ("close", 1, 0, 0, 0), ("bind", 4, 2, 0, 0),
        ),
    ),
    # The last SO_REUSEPORT binder is gone, and what it left lets the next one in.
    "memory of a closed socket": (
        "tcp",
        (("bind", 0, 1, 0, 0), ("bind", 3, 3, 0, 0), ("close", 1, 0, 0, 0), ("bind", 0, 2, 0, 0)),
    ),
    # The scan ends at the first owner that shares SO_REUSEPORT: the newest one.
    "udp order": (
        "udp",
        (("bind", 3, 1, 0, 0), ("bind", 3, 3, 0, 0), ("bind", 3, 2, 0, 0)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REGRESSIONS)
def test_histories_that_taught_us(judge: Judge, name: str) -> None:
    judge.check(*REGRESSIONS[name])
