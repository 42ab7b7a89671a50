from __future__ import annotations

import pytest

from sockwatch.model import Holder, Port, ReuseFlags
from sockwatch.view.columns import BY_KEY, COLUMNS, columns_for
from sockwatch.view.fit import fit
from tests.view import build
from tests.view.build import AP, NONE, NOW, A, P, group, holder, port, process, socket


def cell(of: Port, key: str, width: int = 80) -> str:
    columns = {column.key: column for column in columns_for(width)}
    return columns.get(key, BY_KEY[key]).text(of, NOW)


@pytest.mark.parametrize("width", [26, 42, 60, 79, 80, 99, 100, 119, 120, 160, 250])
def test_a_line_takes_the_whole_width(width: int) -> None:
    columns = columns_for(width)
    line = " " + " ".join(fit(column.title, column.width, column.align) for column in columns)
    assert len(line) == width


@pytest.mark.parametrize(
    ("width", "last"), [(80, "PROCESS"), (100, "USER"), (120, "AGE"), (160, "COMMAND")]
)
def test_wider_screens_show_more_columns(width: int, last: str) -> None:
    assert columns_for(width)[-1].title == last
    assert all(column.at <= width for column in columns_for(width))


def test_the_table_at_80_columns_is_the_documented_one() -> None:
    titles = " ".join(column.title for column in columns_for(80))
    assert titles == "PROTO ADDRESS PORT QUEUE REUSE EST TW OTHER PID PROCESS"


def test_no_title_is_cut_at_80_columns() -> None:
    assert [c.title for c in columns_for(80) if len(c.title) > c.width] == []


def test_every_column_has_help_without_a_full_stop() -> None:
    assert [c.key for c in COLUMNS if not c.help or c.help.endswith(".")] == []


@pytest.mark.parametrize(
    ("address", "v6only", "device", "text"),
    [
        ("0.0.0.0", None, None, "0.0.0.0"),
        ("::", False, None, "*"),
        ("::", True, None, "[::]"),
        ("::", None, None, "[::]?"),
        ("::1", False, None, "[::1]"),
        ("127.0.0.53", None, "lo", "127.0.0.53%lo"),
    ],
)
def test_address(address: str, v6only: bool | None, device: str | None, text: str) -> None:
    one = socket("LISTEN", address, 80, v6only=v6only, device=device)
    assert cell(port(80, listeners=(one,)), "address") == text


def test_several_addresses_are_counted() -> None:
    addresses = ("127.0.0.1", "127.0.0.2", "127.0.0.1", "10.0.0.1")
    found = port(80, listeners=tuple(socket("LISTEN", a, 80) for a in addresses))
    assert cell(found, "address") == "127.0.0.1 +2"


def test_address_of_a_port_without_listener_is_that_of_its_groups() -> None:
    assert cell(build.lingering(), "address") == "127.0.0.1"
    assert cell(port(1, half_open=1), "address") == "-"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((A,), "A-"),
        ((P,), "-P"),
        ((NONE,), "--*"),
        ((ReuseFlags(),), "??"),
        ((ReuseFlags(reuseaddr=True),), "A?"),
        ((ReuseFlags(reuseport=False),), "?-"),
        ((AP,) * 4, "AP x4"),
        ((AP,) * 16, "APx16"),
        ((A, AP), "A-!"),
    ],
)
def test_reuse(flags: tuple[ReuseFlags, ...], text: str) -> None:
    found = port(80, listeners=tuple(socket("LISTEN", "0.0.0.0", 80, flags=f) for f in flags))
    assert cell(found, "reuse") == text


def test_reuse_without_listener() -> None:
    assert cell(build.lingering(), "reuse") == "??"
    waiting = port(80, groups=(group("TIME_WAIT", "10.0.0.1", 1, flags=A),))
    assert cell(waiting, "reuse") == "A-"
    assert cell(port(80, half_open=3), "reuse") == "-"


@pytest.mark.parametrize(
    ("now", "limit", "text"),
    [(0, 128, "0/128"), (129, 128, "129/128"), (4097, 4096, "4.0k/4k"), (None, None, "?/?")],
)
def test_queue(now: int | None, limit: int | None, text: str) -> None:
    one = socket("LISTEN", "0.0.0.0", 80, queue=now, backlog=limit)
    assert cell(port(80, listeners=(one,)), "queue") == text


def test_a_wide_screen_has_room_for_exact_queues() -> None:
    one = socket("LISTEN", "0.0.0.0", 80, queue=4097, backlog=4096)
    assert cell(port(80, listeners=(one,)), "queue", 160) == "4097/4096"


def test_queue_is_that_of_the_fullest_listener() -> None:
    one = socket("LISTEN", "0.0.0.0", 80, queue=3, backlog=4096)
    two = socket("LISTEN", "127.0.0.1", 80, queue=2, backlog=2)
    assert cell(port(80, listeners=(one, two)), "queue") == "2/2"


def test_queue_of_ports_that_do_not_listen() -> None:
    assert cell(build.java(), "queue") == "bound"
    assert cell(build.dns(), "queue") == "-"
    assert cell(build.lingering(), "queue") == "-"


def test_counts() -> None:
    found = build.gunicorn()
    assert [cell(found, key) for key in ("est", "tw", "other")] == ["312", "801", "2"]
    assert cell(build.dns(), "tw") == "-"
    many = port(80, groups=(group("ESTABLISHED", "10.0.0.1", 28_123),))
    assert cell(many, "est") == "28k"
    assert cell(many, "est", 120) == "28123"


def test_the_parent_stands_for_its_children() -> None:
    parent = process(500, "nginx")
    children = [process(pid, "worker", parent=500) for pid in (40, 41)]
    held = (holder(children[0]), holder(parent), holder(parent, 4), holder(children[1]))
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=held),))
    assert cell(found, "pid") == "500"
    assert cell(found, "process") == "nginx +2"


def test_process_without_holder() -> None:
    assert cell(build.lingering(), "process") == "TIME_WAIT 41s"
    assert cell(build.hidden(), "process") == "?"
    assert cell(port(1, groups=(group("TIME_WAIT", "::1", 1),)), "process") == "TIME_WAIT"
    seen = port(1, groups=(group("ESTABLISHED", "10.0.0.1", 1, inodes=(5,)),))
    assert cell(seen, "process") == "?"
    left = port(1, groups=(group("FIN_WAIT1", "10.0.0.1", 1),), orphans=1)
    assert cell(left, "process") == "orphan"
    assert cell(port(1, half_open=2), "process") == "half-open"
    assert cell(left, "pid") == "-"


def test_a_holder_that_may_not_be_identified() -> None:
    one = socket("LISTEN", "0.0.0.0", 80, uid=33, holders=(Holder(7, 3, None),))
    found = port(80, listeners=(one,))
    assert cell(found, "pid") == "7"
    assert cell(found, "process") == "?"
    assert cell(found, "user") == "uid 33"


def test_wide_columns() -> None:
    found = build.gunicorn()
    assert cell(found, "user") == "www"
    assert cell(found, "unit") == "web.service"
    assert cell(found, "age") == "3d"
    assert cell(found, "command") == "/usr/bin/gunicorn app:web -w 3"
    assert [cell(build.lingering(), key) for key in ("user", "unit", "age", "command")] == ["-"] * 4
