from __future__ import annotations

from sockwatch.model import Gap, GapCode
from sockwatch.view.answer import new_request
from sockwatch.view.details import ASCII_TREE, details
from tests.support import build
from tests.support.build import port, socket

HOLDER_GAP = Gap(
    GapCode.HOLDERS_NOT_PERMITTED, "no permission to read the fds of 9 processes", "run as root"
)


def test_every_holder_is_drawn_in_a_tree() -> None:
    parent = build.process(10, "master")
    child = build.process(11, "worker", parent=10)
    grandchild = build.process(12, "helper", parent=11)
    other = build.process(13, "worker", parent=10)
    held = tuple(build.holder(p) for p in (grandchild, other, child, parent))
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, flags=build.A, holders=held),))
    lines = details(new_request(found), build.snapshot([found]), 200, ASCII_TREE)
    drawn = [line.text.split("  fd")[0] for line in lines if line.kind == "process"]
    assert drawn == [
        "master(10)",
        "|- worker(11)",
        "|  `- helper(12)",
        "`- worker(13)",
    ]


def test_parents_in_a_loop_are_all_drawn() -> None:
    one, two = build.process(1, "one", parent=2), build.process(2, "two", parent=1)
    held = (build.holder(one), build.holder(two))
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=held),))
    lines = details(new_request(found), build.snapshot([found]), 200)
    assert sum(line.kind == "process" for line in lines) == 2


def test_every_gap_is_named() -> None:
    found = build.hidden()
    for gap, words in (
        (HOLDER_GAP, f"{HOLDER_GAP.text} (run as root)"),
        (HOLDER_GAP._replace(remedy=None), HOLDER_GAP.text),
    ):
        lines = details(new_request(found), build.snapshot([found], gaps=(gap,)), 200)
        assert f"not seen  {words}" in [str(line) for line in lines]
