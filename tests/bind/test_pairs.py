"""Pairs of sockets: the first in every state, the second as a request, the kernel as the judge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest

from sockwatch.bind import BindRequest, explain_bind
from sockwatch.export.carried import Carried, carried_document, read_carried
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import GapCode, HostSnapshot, Snapshot
from tests.bind.histories import without_flags
from tests.bind.oracle import FIRST_PORT, Shared, Stage
from tests.bind.states import Case, all_cases, build
from tests.support.sample import SEED
from tests.support.worker import run_in_netns

CHUNK = 10_000  # ports of one namespace
BATCH = 50  # cases that one look sees
SAMPLE_STEP = 29  # coprime to every factor of the product, so that it meets all values of each
SAMPLE_PARTS = 2  # for as many workers


class Judged(NamedTuple):
    case: Case
    said: tuple[str, str | None]
    conditions: int
    kernel: tuple[str, str | None]
    masked: str  # the verdict with no reuse flag known
    hidden: str  # the verdict with IPV6_V6ONLY of connections unknown
    is_carried: bool  # the verdict is the same of the snapshot once written and read back
    is_unseen: bool  # the owner is bound, and nothing shows that here

    @property
    def agrees(self) -> bool:
        bind, listen = self.said
        return self.kernel == ((bind, listen) if self.kernel[0] == "ok" else (bind, None))


def judge_all(cases: Sequence[Case]) -> list[Judged]:
    """Batches of cases, each on a port of its own, that one look at the host sees together."""
    shared = Shared()
    judged = []
    with SnapshotReader() as reader:
        for start in range(0, len(cases), BATCH):
            batch = list(enumerate(cases[start : start + BATCH], FIRST_PORT + start))
            stages = [Stage(case.protocol, port, shared) for port, case in batch]
            try:
                for stage, (_, case) in zip(stages, batch, strict=True):
                    build(stage, case)
                snapshot = reader.take(fold=False)
                carried = _carried(snapshot)
                for stage, (_, case) in zip(stages, batch, strict=True):
                    judged.append(_judge(stage, case, snapshot, carried))
            finally:
                for stage in stages:
                    stage.close()
    return judged


def _judge(stage: Stage, case: Case, seen: Snapshot, carried: Snapshot) -> Judged:
    request = BindRequest(
        case.protocol, case.second.text, stage.port, reuseaddr=case.second_flags[0],
        reuseport=case.second_flags[1], v6only=case.second.v6only, uid=case.second_uid,
    )  # fmt: skip
    port = seen.port(case.protocol, stage.port)
    snapshot = replace(seen, ports=() if port is None else (port,))
    verdict = explain_bind(request, snapshot)
    return Judged(
        case,
        (verdict.bind, verdict.listen),
        len(verdict.conditions),
        stage.ask(request),
        explain_bind(request, without_flags(snapshot)).bind,
        explain_bind(request, _without_v6only(snapshot)).bind,
        verdict == explain_bind(request, carried),
        port is None and any(gap.code == GapCode.BOUND_UNSEEN for gap in verdict.gaps),
    )


def _carried(snapshot: Snapshot) -> Snapshot:
    """What arrives elsewhere."""
    document = carried_document(Carried(HostSnapshot((snapshot,)), "0"))
    return read_carried(document, "0").own


def _without_v6only(snapshot: Snapshot) -> Snapshot:
    ports = (
        p._replace(groups=tuple(g._replace(v6only=None) for g in p.groups)) for p in snapshot.ports
    )
    return replace(snapshot, ports=tuple(ports))


def check(cases: list[Case]) -> list[Judged]:
    chunks = [cases[i : i + CHUNK] for i in range(0, len(cases), CHUNK)]
    judged = run_in_netns(judge_all, chunks, workers=os.cpu_count() or 1)
    assert len(judged) == len(cases)
    judged = [j for j in judged if not j.is_unseen]
    certain = [j for j in judged if j.said[0] != "depends"]
    assert [j for j in certain if not j.agrees] == []
    assert [j for j in judged if not j.is_carried] == []
    assert len(judged) - len(certain) < len(judged) / 100
    # What is hidden makes the answer "depends" or leaves it right, and matters only where it can.
    assert [j for j in judged if j.masked not in ("depends", j.kernel[0])] == []
    assert [j for j in judged if j.hidden not in ("depends", j.kernel[0])] == []
    assert {j.case.second.text for j in judged if j.hidden == "depends"} <= {"0.0.0.0", "127.0.0.6"}
    plain = [j for j in judged if j.case.second_flags == (False, False)]
    assert [j for j in plain if j.masked == "depends"] == []
    return judged


@pytest.mark.parametrize("part", range(SAMPLE_PARTS))
def test_a_sample_of_the_pairs(kernel_oracle: None, part: int) -> None:
    sample = all_cases()[SEED % SAMPLE_STEP :: SAMPLE_STEP]
    assert {c.state for c in sample} == {c.state for c in all_cases()}
    check(sample[part::SAMPLE_PARTS])


@pytest.mark.exhaustive
@pytest.mark.timeout(0)
def test_every_pair(kernel_oracle: None, capsys: pytest.CaptureFixture[str]) -> None:
    judged = check(all_cases())
    shares = {
        name: sum(getattr(j, name) == "depends" for j in judged) / len(judged)
        for name in ("masked", "hidden")
    }
    depends = sum(j.said[0] == "depends" for j in judged)
    with capsys.disabled():
        print(f"\n{len(judged)} pairs, {depends} depend; flags unknown: {shares}")
