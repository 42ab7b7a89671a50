from __future__ import annotations

from collections.abc import Callable

import pytest

from sockwatch.model import Holder, Port, ReuseFlags
from sockwatch.view.column import Column, Row
from sockwatch.view.filter import parse_filter
from sockwatch.view.fit import fit
from sockwatch.view.fold_columns import FOLD_COLUMNS, fold_columns_for
from sockwatch.view.folding import Fold, fold
from sockwatch.view.port_columns import PORT_COLUMN, PORT_COLUMNS, port_columns_for
from sockwatch.view.socket_columns import SOCKET_COLUMNS, socket_columns_for
from tests.support import build
from tests.support.build import AP, NONE, NOW, A, P, group, holder, port, process, socket
from tests.view.test_folding import failed


def ok(_port: Port) -> str:
    return "ok"


def port_columns(width: int) -> tuple[Column[Port], ...]:
    """With RESTART."""
    return port_columns_for(width, ok)


def cell(of: Port, key: str, width: int = 80) -> str:
    columns = {column.key: column for column in port_columns(width)}
    if key in columns:
        return columns[key].fitted(of, NOW).strip()
    return PORT_COLUMN[key].text(of, NOW)


TABLES = pytest.mark.parametrize(
    "columns_for", [port_columns, port_columns_for, socket_columns_for, fold_columns_for]
)
# From the least width that has room for the columns which every screen shows.
WIDTHS = range(31, 260)


@TABLES
def test_a_line_takes_the_whole_width(
    columns_for: Callable[[int], tuple[Column[Row], ...]],
) -> None:
    for width in WIDTHS:
        line = " " + " ".join(fit(c.title, c.width, c.align) for c in columns_for(width))
        assert len(line) == width


def marked_port() -> Port:
    """A port whose cells are too wide for any column, and have every mark there is."""
    held = (
        holder(process(pid, "a-long-name-of-a-program" * 40, age_s=pid)) for pid in range(1, 13)
    )
    listeners = tuple(
        socket("LISTEN", f"fe80::1234:5678:9abc:{n}", 80, flags=NONE if n else AP,
               device="enp0s31f6.4094", holders=(one,))
        for n, one in enumerate(held)
    )  # fmt: skip
    return port(80, listeners=listeners)


def unexplained_failure() -> Fold:
    return fold((), [failed(errno="EADDRNOTAVAIL", address="fe80::1234:5678:9abc:1")])[0]


def test_the_marks_of_a_cell_are_there_at_every_width() -> None:
    crowded = marked_port()
    shared = crowded.listeners[0]._replace(holders=crowded.holders)
    for width in WIDTHS:
        cells = {
            **{f"port {c.key}": c.fitted(crowded, NOW) for c in port_columns(width)},
            **{f"socket {c.key}": c.fitted(shared, NOW) for c in socket_columns_for(width)},
            **{c.key: c.fitted(unexplained_failure(), NOW) for c in fold_columns_for(width)},
        }
        assert cells["port process"].endswith("… 1 +11"), width
        assert cells["error"].rstrip() == "EADDRNOTAVAIL!", width
        assert cells["address"].rstrip().endswith(":80"), width
        assert cells.get("port address", " +11").endswith(" +11"), width
        assert cells.get("port reuse", "AP!*").startswith("AP!*"), width
        assert cells.get("socket holder", " +11").rstrip().endswith(" +11"), width


def test_every_mark_is_tested() -> None:
    marked = [
        f"{c.key} of {name}"
        for name, columns in (
            ("ports", PORT_COLUMNS), ("sockets", SOCKET_COLUMNS), ("failures", FOLD_COLUMNS)
        )
        for c in columns
        if c.mark is not None
    ]  # fmt: skip
    assert marked == ["address of ports", "process of ports", "holder of sockets",
                      "address of failures", "error of failures"]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "last"), [(80, "PROCESS"), (100, "USER"), (120, "AGE"), (160, "COMMAND")]
)
def test_wider_screens_show_more_columns(width: int, last: str) -> None:
    assert port_columns_for(width)[-1].title == last
    assert all(column.at <= width for column in port_columns_for(width))


def test_the_table_at_80_columns_is_the_documented_one() -> None:
    titles = " ".join(column.title for column in port_columns(80))
    assert titles == "PORT PROTO ADDRESS QUEUE REUSE EST TW RESTART PROCESS"


def test_narrow_tables() -> None:
    at_60 = [column.title for column in port_columns(60)]
    assert at_60 == ["PORT", "PROTO", "ADDRESS", "QUEUE", "RESTART", "PROCESS"]
    assert cell(build.java(), "queue", 60) == "bound"
    assert [column.title for column in port_columns(40)] == ["PORT", "PROTO", "RESTART", "PROCESS"]


def test_no_title_is_cut_at_80_columns() -> None:
    assert [c.title for c in port_columns(80) if len(c.title) > c.width] == []


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_a_failure_needs_is_not_cut(width: int) -> None:
    now_and_then = fold((), [failed(at, address="172.16.100.200") for at in (1.0, 1.131)])[0]
    cells = {c.key: c.fitted(now_and_then, NOW).strip() for c in fold_columns_for(width)}
    assert cells.get("every", "0.131 s") == "0.131 s"
    assert cells["address"] == ("172.16.100.200:80" if width > 60 else "172.16.100.2…:80")
    assert (cells["times"], cells["error"], cells["program"]) == ("2", "EADDRINUSE!", "nginx")


def test_every_column_has_help_without_a_full_stop() -> None:
    assert [c.key for c in PORT_COLUMNS if not c.help or c.help.endswith(".")] == []


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
    assert cell(found, "process") == "nginx 500 +2"


def test_the_process_column_says_what_an_interpreter_runs() -> None:
    servers = [process(pid, "java", command="/usr/bin/java -jar shop.jar") for pid in (7, 8)]
    held = tuple(map(holder, servers))
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=held),))
    assert cell(found, "process", 160) == "java shop.jar 7 +1"
    assert cell(found, "process", 60).endswith("… 7 +1")
    assert cell(found, "command") == "/usr/bin/java -jar shop.jar"
    matches = parse_filter("process:shop.jar").matches
    assert [matches(found), matches(build.java())] == [True, False]


def test_process_without_holder() -> None:
    assert cell(build.lingering(), "process") == "TIME_WAIT 41s"
    assert cell(build.hidden(), "process") == "? (root)"
    assert cell(port(1, groups=(group("TIME_WAIT", "::1", 1),)), "process") == "TIME_WAIT"
    seen = port(1, groups=(group("ESTABLISHED", "10.0.0.1", 1, with_fd=1),))
    assert cell(seen, "process") == "?"
    left = port(1, groups=(group("FIN_WAIT1", "10.0.0.1", 1),), orphans=1)
    assert cell(left, "process") == "orphan"
    assert cell(port(1, half_open=2), "process") == "half-open"


def test_a_holder_that_may_not_be_identified() -> None:
    one = socket("LISTEN", "0.0.0.0", 80, uid=33, holders=(Holder(7, 3, None),))
    found = port(80, listeners=(one,))
    assert cell(found, "process") == "? (uid 33) 7"
    assert cell(found, "user") == "uid 33"


def test_wide_columns() -> None:
    found = build.gunicorn()
    assert cell(found, "user") == "www"
    assert cell(found, "unit") == "web.service"
    assert cell(found, "age") == "3d"
    assert cell(found, "command") == "/usr/bin/gunicorn app:web -w 3"
    assert [cell(build.lingering(), key) for key in ("user", "unit", "age", "command")] == ["-"] * 4
