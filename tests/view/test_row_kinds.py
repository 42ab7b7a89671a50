"""The colours of the table: what is blocked, what frees itself, what needs attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sockwatch.view.row_kinds import cell_kind
from tests.support import build
from tests.support.build import group, port

if TYPE_CHECKING:
    from sockwatch.model import Port


@pytest.mark.parametrize(
    ("key", "text", "kind"),
    [
        ("restart", "ok", "good"),
        ("restart", "no", "bad"),
        ("restart", "60s", "warning"),
        ("restart", "?", None),
        ("restart", "-", None),
        ("reuse", "A-!", "warning"),
        ("reuse", "--*", "warning"),
        ("reuse", "AP x4", None),
        ("queue", "0/4096", None),
        ("process", "gunicorn 4242 +3", None),
    ],
)
def test_a_served_port(key: str, text: str, kind: str | None) -> None:
    assert cell_kind(key, build.gunicorn(), text) == kind


def test_a_full_queue() -> None:
    assert cell_kind("queue", build.hidden(), "129/128") == "bad"


@pytest.mark.parametrize(
    ("left", "kind"),
    [
        (build.lingering(), "warning"),
        (port(1, groups=(group("FIN_WAIT1", "10.0.0.1", 1),), orphans=1), "bad"),
        (port(1, groups=(group("ESTABLISHED", "10.0.0.1", 1, with_fd=1),)), None),
        (port(1, half_open=1), None),
    ],
)
def test_what_is_left_without_a_process(left: Port, kind: str | None) -> None:
    assert cell_kind("process", left, "text") == kind
