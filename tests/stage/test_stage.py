"""Every command of every cause, as it is printed, where it is to be run: what does it touch?

All that there is in three places is looked at before and after: in A, where the call fails, in B,
which looks just like it, and on the host of both. Nothing but the subject in A may have changed.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator

import pytest

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.generations import ONE_START_S
from tests.stage import actors, product
from tests.stage.calls import Call
from tests.stage.checks import check
from tests.stage.places import Stage, on_stage, run
from tests.stage.seen import changes, see
from tests.stage.situation import Situation
from tests.stage.situations import CANNOT_BE_MADE, SITUATIONS
from tests.stage.ways import WAYS, Way
from tests.support import sample
from tests.support.child import in_netns
from tests.support.privilege import needs_btf, needs_root
from tests.support.tools import need
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = [needs_root, needs_btf, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy host the program that looks at paths may take seconds to start."""
    monkeypatch.setattr("sockwatch.kernel.failures.path_probe.LIMIT_S", PATIENCE_S)


@pytest.fixture(autouse=True)
def _tools() -> None:
    for tool in ("ip", "lsns", "nsenter", "ss", "sysctl"):
        need(tool)


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    product.load()


def plays() -> Iterator[object]:
    """Each situation is looked at in each way, on one stage if nothing is to be touched there.

    Of several stages for a situation one is drawn each day; the others are exhaustive.
    """
    for number, situation in enumerate(SITUATIONS):
        ways = [way for way in WAYS if way.shows(situation)]
        stages = [[way] for way in ways] if situation.touches else [ways]
        for index, together in enumerate(stages):
            names = "-".join([situation.id, *(way.name for way in together)])
            # Another test's failure between two of them makes the watch forget the first.
            marks = [pytest.mark.whole_host] if situation.failures > 1 else []
            if index != (number + sample.SEED) % len(stages):
                marks.append(pytest.mark.exhaustive)
            yield pytest.param(situation, together, id=names, marks=marks)


def set_up(stage: Stage, situation: Situation) -> None:
    """The situation in A, and its likeness in B and on the host."""
    for place in stage.places:
        place.do(situation.make)
    if situation.later is not None:
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started > ONE_START_S + 1, pause_s=0.1)
        for place in stage.places:
            place.do(situation.later)


@pytest.mark.parametrize(("situation", "ways"), list(plays()))
def test_commands_touch_their_subject_alone(situation: Situation, ways: list[Way]) -> None:
    def act(stage: Stage) -> None:
        set_up(stage, situation)
        for way in ways:
            check(stage, situation, way, way.ask(stage, situation))

    situation.needs()
    try:
        on_stage(act)
    finally:
        situation.clean()


@in_netns
def test_a_listener_on_its_way_to_another_process() -> None:
    """With all processes of the host in sight; of those only the commands' answers tell."""
    sockets = actors.in_flight()
    document = product.why(Call())
    # Which of the two depends on whether some process hides its fds.
    assert document["cause"]["id"] in (CauseId.NO_FD_ANYWHERE, CauseId.HOLDER_NOT_VISIBLE)
    before = see()
    commands = [fix["command"] for fix in document["fixes"] if fix["command"]]
    answers = [run("sh", "-c", command).output for command in commands]
    find = next(i for i, command in enumerate(commands) if "scm_fds" in command)
    assert f"/proc/{os.getpid()}/fdinfo/{sockets[1].fileno()}" in answers[find]
    assert {shlex.split(command)[0] for command in commands} <= {"grep", "rpcinfo"}
    assert not [line for line in changes(before, see()) if not line.startswith("process")]


def test_there_is_a_situation_for_each_cause() -> None:
    made = {situation.cause for situation in SITUATIONS}
    assert made | set(CANNOT_BE_MADE) == set(CauseId)
    assert not made & set(CANNOT_BE_MADE)
