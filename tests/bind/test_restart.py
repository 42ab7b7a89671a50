"""Restart verdicts against the kernel: servers of every kind end, and bind again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from sockwatch.kernel.snapshot import SnapshotReader
from tests.bind.histories import History
from tests.bind.oracle import FIRST_PORT, LAST_PORT, Shared, Stage
from tests.bind.restart_cases import Case, Restarted, all_cases, restart_all
from tests.bind.restarts import ENDS, End, Restart, restart_after
from tests.support.sample import SEED
from tests.support.worker import Worker, run_in_netns

SAMPLE_STEP = 17  # coprime to every factor of the product
CHUNK = 10_000
# What a peer may still do decides, or the kernel's memory of SO_REUSEPORT.
MAY_DEPEND = {"CLOSE_WAIT, not acknowledged", "other flags", "other flags, TIME_WAIT"}


def check(cases: Sequence[Case]) -> None:
    chunks = [cases[i : i + CHUNK] for i in range(0, len(cases), CHUNK)]
    restarted = run_in_netns(restart_all, chunks, workers=os.cpu_count() or 1)
    assert len(restarted) == len(cases)
    assert [r for r in restarted if r.restart.complaint() is not None] == []
    assert {r.case.state for r in restarted if r.restart.said.bind == "depends"} <= MAY_DEPEND
    assert [r for r in restarted if _is_late(r)] == []


def _is_late(restarted: Restarted) -> bool:
    """Whether a TIME_WAIT stays longer than was said; a FIN_WAIT2 is said to add to it."""
    said = restarted.restart.said
    if said.frees_in_s is None or any(b.may_last_longer for b in said.verdict.blockers):
        return False
    return restarted.clock_s > said.frees_in_s


def test_a_sample_of_the_restarts(kernel_oracle: None) -> None:
    check(all_cases()[SEED % SAMPLE_STEP :: SAMPLE_STEP])


@pytest.mark.exhaustive
@pytest.mark.timeout(0)
def test_every_restart(kernel_oracle: None) -> None:
    check(all_cases())


OPERATIONS = (
    *["bind"] * 5, *["listen"] * 5, *["accept"] * 9, "connect", "auto", "flags",
    *["close"] * 3, *["far_close"] * 2, *["send"] * 2, *["shut"] * 2,
)  # fmt: skip
number = st.integers(0, 11)
steps = st.tuples(st.sampled_from(OPERATIONS), number, number, number, number)
histories = st.lists(steps, min_size=8, max_size=24).map(tuple)
shares = st.lists(st.sampled_from((1, 1, 1, 2, 3)), min_size=12, max_size=12)
quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


class Judge:
    """Plays histories in one namespace, each on a port of its own, and restarts what they leave."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.outcomes: list[str] = []

    def check(self, history: History, dealt: Sequence[int], end: End) -> None:
        restart: Restart | None = self._worker.ask((history, dealt, end))
        if restart is not None:
            self.outcomes.append(restart.said.bind)
            assert restart.complaint() is None, restart


@pytest.fixture
def judge(kernel_oracle: None) -> Iterator[Judge]:
    def prepare() -> object:
        shared = Shared()
        ports = iter(range(FIRST_PORT, LAST_PORT))
        reader = SnapshotReader()

        def play(question: tuple[History, Sequence[int], End]) -> object:
            stage = Stage("tcp", next(ports), shared)
            try:
                return restart_after(stage, reader, *question)
            finally:
                stage.close()

        return play

    with Worker(prepare) as worker:  # type: ignore[arg-type]
        yield Judge(worker)


def restart_histories(judge: Judge, examples: int, *, seeded: bool) -> None:
    @settings(max_examples=examples, database=None, suppress_health_check=quiet)
    @given(histories, shares, st.sampled_from(ENDS))
    def run(history: History, dealt: Sequence[int], end: End) -> None:
        judge.check(history, dealt, end)

    (seed(SEED)(run) if seeded else run)()
    assert judge.outcomes.count("depends") < len(judge.outcomes) / 5


def test_restarts_after_histories(judge: Judge) -> None:
    restart_histories(judge, 40, seeded=True)


@pytest.mark.exhaustive
@pytest.mark.timeout(0)
def test_restarts_after_long_histories(judge: Judge) -> None:
    restart_histories(judge, 3000, seeded=False)
