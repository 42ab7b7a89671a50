"""Columns lend cells that they do not need to those that are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sockwatch.model import Port
from sockwatch.view.column import GAP, MARGIN, Column
from sockwatch.view.port_columns import port_columns_for
from sockwatch.view.room import MOST_ROWS, Room, need_of
from tests.support import build
from tests.support.build import A, holder, process, socket

WEB = build.web_host()


def ok(_port: Port) -> str:
    return "ok"


def http_server(address: str = "0.0.0.0", pid: int = 4242) -> Port:
    by = (holder(process(pid, "python3", command="python3 -m http.server 8000")),)
    listener = socket("LISTEN", address, 8000, flags=A, queue=0, backlog=5, holders=by)
    return build.port(8000, listeners=(listener,))


def widened(width: int, *rows: Port) -> dict[str, Column[Port]]:
    room = Room()
    room.learn(port_columns_for(width, ok), rows)
    return {column.key: column for column in room.given()}


def test_a_module_of_python_is_whole_at_80_columns() -> None:
    row = http_server()
    process = widened(80, build.sshd(), row)["process"]
    assert process.fitted(row, build.NOW) == "python3 -m http.server 4242"


def test_what_others_show_is_not_cut_for_it() -> None:
    row = http_server("192.168.100.100")
    columns = widened(80, row, build.gunicorn())
    assert columns["address"].fitted(row, build.NOW).strip() == "192.168.100.100"
    assert "…" in columns["process"].fitted(row, build.NOW)


def test_where_nothing_is_cut_nothing_moves() -> None:
    columns = port_columns_for(80, ok)
    assert list(widened(80, build.sshd(), build.gunicorn()).values()) == list(columns)


def test_columns_do_not_move_back_until_they_are_others() -> None:
    room, columns = Room(), port_columns_for(80, ok)
    room.learn(columns, [http_server()])
    before = room.given()
    room.learn(columns, [build.sshd()])
    assert room.given() == before
    room.learn(port_columns_for(81, ok), [build.sshd()])
    assert room.given() == port_columns_for(81, ok)


def test_very_many_rows_are_not_measured() -> None:
    rows = [http_server(pid=1000 + n)._replace(number=n) for n in range(MOST_ROWS + 1)]
    room = Room()
    room.learn(port_columns_for(80, ok), rows)
    assert room.given() == port_columns_for(80, ok)


@given(st.integers(1, 200), st.lists(st.sampled_from([*WEB, http_server()]), max_size=4))
def test_a_line_is_as_wide_as_before_and_no_cell_loses_what_it_showed(
    width: int, rows: list[Port]
) -> None:
    columns = port_columns_for(width, ok)
    found = widened(width, *rows)

    def line(widths: list[int]) -> int:
        return MARGIN + sum(widths) + GAP * (len(widths) - 1)

    assert line([c.width for c in found.values()]) == line([c.width for c in columns])
    for column in columns:
        for row in rows:
            if need_of(column, row).whole <= column.width:
                assert need_of(column, row).whole <= found[column.key].width
