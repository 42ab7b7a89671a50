"""The panel under the table: the answer about the row's port in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sockwatch.bind import BindRequest
from sockwatch.model import Snapshot
from sockwatch.units import spoken_duration
from sockwatch.view.lines import Line
from sockwatch.view.look import OLD_S
from sockwatch.view.page import Page, answer_lines, labelled
from sockwatch.view.verdict import fix_text
from sockwatch.view.who import who_lines


def panel(
    request: BindRequest, snapshot: Snapshot, *, is_outside: bool = False, age_s: float = 0.0
) -> tuple[Line, ...]:
    """The most important line first; to end a healthy server is not proposed here.

    `is_outside`: commands are typed in another network namespace, so that of the snapshot is named,
    and how many seconds ago it was looked at, where that is long.
    """
    return tuple(_lines(request, snapshot, is_outside=is_outside, age_s=age_s))


def _lines(
    request: BindRequest, snapshot: Snapshot, *, is_outside: bool, age_s: float
) -> Iterator[Line]:
    page = replace(Page.about(request, snapshot), is_outside=is_outside)
    title, *facts = who_lines(request, snapshot)
    ago = f", {spoken_duration(age_s)} ago" if age_s > OLD_S else ""
    yield title._replace(text=f"{snapshot.netns.label}{ago}: {title.text}") if is_outside else title
    yield from (line for line in facts if line.kind == "warning")
    yield from answer_lines(page, with_request=False)
    if not page.is_healthy and (steps := page.fixes):
        yield labelled("next", Line("text", fix_text(steps[0])))
    yield from (line for line in facts if line.kind != "warning")
