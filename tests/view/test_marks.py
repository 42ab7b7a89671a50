from __future__ import annotations

from sockwatch.view.look import Look
from sockwatch.view.marks import MARK_S, Marks
from tests.support.build import NOW, port, snapshot

ONE, TWO = port(1), port(2)


def test_the_first_look_marks_nothing() -> None:
    marks = Marks()
    marks.update(Look.of(snapshot([ONE, TWO])))
    assert (marks.of(ONE.row_key), marks.gone) == ("", ())


def test_new_and_gone_are_marked_for_a_while() -> None:
    marks = Marks()
    marks.update(Look.of(snapshot([ONE])))
    marks.update(Look.of(snapshot([TWO], time=NOW + 1)))
    assert (marks.of(TWO.row_key), marks.of(ONE.row_key), marks.gone) == ("new", "gone", (ONE,))
    marks.update(Look.of(snapshot([TWO], time=NOW + 1 + MARK_S - 0.1)))
    assert (marks.of(TWO.row_key), marks.of(ONE.row_key)) == ("new", "gone")
    marks.update(Look.of(snapshot([TWO], time=NOW + 1 + MARK_S)))
    assert (marks.of(TWO.row_key), marks.of(ONE.row_key), marks.gone) == ("", "", ())


def test_a_port_that_comes_back_is_new() -> None:
    marks = Marks()
    marks.update(Look.of(snapshot([ONE])))
    marks.update(Look.of(snapshot([], time=NOW + 1)))
    marks.update(Look.of(snapshot([ONE], time=NOW + 2)))
    assert (marks.of(ONE.row_key), marks.gone) == ("new", ())
