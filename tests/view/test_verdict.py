from __future__ import annotations

import pytest

from sockwatch.bind import BindRequest
from sockwatch.bind.generations import eldest_first
from sockwatch.model import Holder, Port
from sockwatch.view.answer import Answer, new_request
from sockwatch.view.port_columns import PORT_COLUMN
from sockwatch.view.verdict import blockers_line, by_rule
from tests.support import build
from tests.support.build import group, holder, port, process, socket


@pytest.mark.parametrize(
    ("found", "request_"),
    [
        (build.gunicorn(), BindRequest("tcp", "0.0.0.0", 8080, uid=33)),
        (build.lingering(), BindRequest("tcp", "0.0.0.0", 9000)),
        (build.java(), BindRequest("tcp", "::", 9100, uid=104)),
        (build.hidden(), BindRequest("tcp", "::", 3306, v6only=True, uid=0)),
        (build.dns(), BindRequest("udp", "127.0.0.53", 53, uid=0, device="lo")),
        (
            port(53, listeners=(socket("LISTEN", "fe80::1", 53, device="eth0", v6only=True),)),
            BindRequest("tcp", "fe80::1%eth0", 53, uid=0, device="eth0"),
        ),
    ],
)
def test_a_restart_asks_for_what_its_server_has(found: Port, request_: BindRequest) -> None:
    assert new_request(found) == request_


def answer(found: Port) -> Answer:
    return Answer.to(new_request(found), build.snapshot([found]))


def test_listeners_that_are_alike_are_one_blocker() -> None:
    found = answer(build.gunicorn())
    assert blockers_line(found.verdict.blockers) == (
        "blocked by 4 LISTEN 0.0.0.0:8080 gunicorn(4242) +3, 312 ESTABLISHED,"
        " 801 TIME_WAIT (last frees in 58 s), 1 more"
    )


def test_no_more_lines_than_wanted() -> None:
    groups = tuple(group("TIME_WAIT", f"10.0.0.{n}", 1, flags=build.A) for n in range(9))
    ((rule, lines),) = by_rule(answer(port(80, groups=groups)).verdict.blockers, 4)
    assert "neither SO_REUSEADDR nor SO_REUSEPORT" in rule
    assert len(lines) == 5
    assert lines[-1] == "and 5 more"


def test_the_column_the_blocker_and_the_cause_name_the_same_holder() -> None:
    app = [process(10, "app"), process(20, "app")]
    app += [process(pid, "app", parent=20) for pid in (21, 22)]
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=tuple(map(holder, app))),))
    verdict = answer(found).verdict
    assert PORT_COLUMN["process"].text(found, build.NOW) == "app 20 +3"
    assert blockers_line(verdict.blockers).endswith("app(20) +3")
    assert verdict.cause is not None
    assert "app(20) and 3 more" in verdict.cause.text


def test_descendants_count_whose_parents_hold_it_too() -> None:
    children = [process(pid, "a", parent=10) for pid in (11, 12)]
    line = [process(pid, "b", parent=pid - 1) for pid in (21, 22, 23)]
    everyone = [process(10, "a"), *children, process(20, "b"), *line]
    assert [h.pid for h in eldest_first(map(holder, everyone))][:2] == [20, 10]


def test_a_holder_that_could_be_identified_comes_first() -> None:
    assert eldest_first((Holder(5, 3, None), holder(process(9, "a"))))[0].pid == 9
