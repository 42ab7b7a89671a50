"""Repeats of one failure as one line, and a failure in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sockwatch.bind.failure import ExplainedFailure, unexplained
from sockwatch.bind.model import Cause
from sockwatch.failure import Failure
from sockwatch.model import Gap, GapCode, Netns, Origin, Process, ReuseFlags
from sockwatch.view.failures import failure_line
from sockwatch.view.fold_lines import fold_lines
from sockwatch.view.folding import Fold, fold

NGINX = Process(
    812, "nginx", "nginx -g daemon", "root", 0, 900.0, 1, "S",
    origin=Origin("unit", "", "nginx.service", "cgroup"),
)  # fmt: skip


def failed(at: float = 1000.0, name: str = "nginx", **changes: Any) -> ExplainedFailure:
    failure = Failure(
        time=at, call="bind", errno="EADDRINUSE", pid=812, tid=812, comm=name[:15], uid=0, fd=3,
        process=NGINX._replace(name=name), protocol="tcp", family="ipv4", address="0.0.0.0",
        port=80, netns_inode=1, flags=ReuseFlags(True, False, "bpf"), v6only=False,
    )  # fmt: skip
    return unexplained(failure._replace(**changes))


def every(step: float, count: int, **changes: Any) -> list[ExplainedFailure]:
    return [failed(1000.0 + step * number, **changes) for number in range(count)]


def texts(folds: tuple[Fold, ...]) -> list[str]:
    return [each.text for each in folds]


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([], []),
        ([failed()], ["nginx 0.0.0.0:80, once"]),
        (every(2.0, 44), ["nginx 0.0.0.0:80, 44 times in 86 s, every 2.0 s"]),
        (every(0.002, 500), ["nginx 0.0.0.0:80, 500 times in 0.998 s, every 2 ms"]),
        (every(0.0, 3), ["nginx 0.0.0.0:80, 3 times at once"]),
        (every(0.00002, 3), ["nginx 0.0.0.0:80, 3 times in 40 us, every 20 us"]),
        (every(0.1312, 2), ["nginx 0.0.0.0:80, 2 times in 0.131 s, every 0.131 s"]),
        (every(3600.0, 3), ["nginx 0.0.0.0:80, 3 times in 2 h, every 1 h"]),
        # Other pids, flags, calls and errors of the same program and address are the same to a
        # reader; other programs, ports, protocols and namespaces are not.
        (
            [
                failed(1000.0),
                failed(1001.0, pid=9),
                failed(1002.0, call="listen"),
                failed(1003.0, errno="EACCES"),
            ],
            ["nginx 0.0.0.0:80, 4 times in 3 s, every 1.0 s"],
        ),
        (
            [
                failed(1000.0),
                failed(1001.0, name="apache2"),
                failed(1002.0, port=81),
                failed(1003.0, address="::", family="ipv6"),
                failed(1004.0, protocol="udp"),
                failed(1005.0, netns_inode=2),
                failed(1006.0),
            ],
            [
                "nginx 0.0.0.0:80, 2 times in 6 s, every 6.0 s",
                "nginx 0.0.0.0:80, once",
                "nginx 0.0.0.0:80, once",
                "nginx [::]:80, once",
                "nginx 0.0.0.0:81, once",
                "apache2 0.0.0.0:80, once",
            ],
        ),
        (
            [failed(protocol="unix", family="unix", address="/run/x.sock", port=None)],
            ["nginx /run/x.sock, once"],
        ),
        ([failed(process=None, address=None, port=None)], ["nginx ?, once"]),
    ],
)
def test_folding(failures: list[ExplainedFailure], expected: list[str]) -> None:
    assert texts(fold((), failures)) == expected
    one_by_one: tuple[Fold, ...] = ()
    for each in failures:
        one_by_one = fold(one_by_one, [each])
    assert one_by_one == fold((), failures)


def test_the_last_explanation_is_kept() -> None:
    first, last = failed(1000.0), failed(1002.0, pid=9)
    (line,) = fold(fold((), [first]), [last])
    assert line.last is last
    assert (line.count, line.first_time, line.span_s, line.every_s) == (2, 1000.0, 2.0, 2.0)


def test_a_clock_that_was_set_back_makes_no_negative_times() -> None:
    (line,) = fold((), [failed(1000.0), failed(990.0)])
    assert (line.first_time, line.span_s) == (990.0, 0.0)


def test_the_oldest_go() -> None:
    folds = fold((), [failed(1000.0 + n, port=n) for n in range(1, 6)], most=3)
    assert [each.last.failure.port for each in folds] == [5, 4, 3]
    assert texts(fold(folds, [failed(1010.0, port=3)], most=3))[0].startswith("nginx 0.0.0.0:3, 2")


CAUSE = Cause("listener", "apache2(700) of user root listens on 0.0.0.0:80")
GAP = Gap(GapCode.NETNS_UNSEEN, "nobody is there", "root")


def test_lines() -> None:
    one = failed()
    known = replace(one, explained=True, cause=CAUSE, netns=Netns(1, "host"))
    tail = "nginx(812) bind tcp 0.0.0.0:80 (reuseaddr) EADDRINUSE"
    assert failure_line(known, 1)[9:] == f"{tail}: {CAUSE.text}"
    assert failure_line(known, 2)[9:] == f"{tail} on the host: {CAUSE.text}"
    assert failure_line(one, 1)[9:] == f"{tail}: not explained by what is there now"
    assert failure_line(replace(one, gaps=(GAP,)), 1)[9:] == (
        f"{tail}: not explained (nobody is there)"
    )
    unseen = failed(
        process=None, pid=None, protocol=None, family=None, address=None, flags=ReuseFlags()
    )
    assert "nginx(?) bind ? ? EADDRINUSE" in failure_line(unseen, 1)
    unknown = failed(flags=ReuseFlags(None, True), v6only=True, family="ipv6", address="::")
    assert "tcp [::]:80 (reuseaddr?, reuseport, v6only) EADD" in failure_line(unknown, 1)


def test_the_lines_of_a_row_name_the_namespace_and_what_would_show_a_gap() -> None:
    gaps = (GAP, Gap(GapCode.BOUND_SINCE, "it has bound since", None))
    known = replace(failed(), explained=True, cause=CAUSE, netns=Netns(2, "blue"), gaps=gaps)
    (row,) = fold((), [known])
    title, cause, last, *others = fold_lines(row, 1)
    assert (title, cause) == (row.text, CAUSE.text)
    assert last.endswith("EADDRINUSE in netns blue")
    assert others[1:] == ["nobody is there (root)", "it has bound since"]
    assert list(fold_lines(row, 2))[2].endswith("EADDRINUSE")
