"""README's moving picture: the session is real, and the file plays by itself."""

from __future__ import annotations

import os
import re
from xml.etree import ElementTree as ET

import pytest

from tests.moving_picture import COLUMNS, KEY_S, PICTURE, Ran, lines_of, record
from tests.support.animation import PROMPT, animated_svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn_texts(svg: str) -> list[str]:
    """The lines in the picture, from the top."""
    root = ET.fromstring(svg)  # noqa: S314 - it is ours
    texts = sorted(root.iter(f"{SVG}text"), key=lambda text: float(text.attrib["y"]))
    return [text.text or "" for text in texts]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a pid namespace with a /proc")
def test_the_session_ends_with_a_server_that_listens() -> None:
    refused, answer, ended, started = record()
    assert refused.output.endswith("Address already in use")
    assert ended.command in answer.output
    assert started.output == "shop: listening on 0.0.0.0:8080"


def test_each_line_comes_after_the_one_before() -> None:
    runs = [Ran("./shop", "no", 0.5, 1), Ran("sockwatch 8080", "a\n\n<b>", 0.2, 1)]
    lines, lasts_s = lines_of(runs)
    assert [line.text for line in lines] == [
        "$ ./shop", "no", "$ sockwatch 8080", "a", "", "<b>",
    ]  # fmt: skip
    times = [line.at_s for line in lines]
    assert times == sorted(times)
    assert times[-1] < lasts_s
    typed = [line.typed for line in lines if line.typed]
    assert [round((last - first) / KEY_S) for first, last in typed] == [6, 14]
    svg = animated_svg(lines, lasts_s, COLUMNS, "<title>")
    assert drawn_texts(svg) == ["$ ./shop", "no", "$ sockwatch 8080", "a", "<b>"]
    moments = [float(m) for m in re.findall(r"@keyframes l\d+ .* ([\d.]+)% { visi", svg)]
    assert moments == sorted(moments)
    assert moments[-1] < 100


def test_the_kept_picture_needs_nothing_and_shows_nothing_of_its_machine() -> None:
    svg = PICTURE.read_text()
    assert len(svg) < 300_000
    for forbidden in ("<script", "href", "url(", "@import", "/tmp", "/root", "also in", "not seen"):
        assert forbidden not in svg, forbidden
    texts = drawn_texts(svg)
    commands = [text.removeprefix(PROMPT) for text in texts if text.startswith(PROMPT)]
    assert commands[:2] == ["./shop", "sockwatch 8080"]
    assert re.fullmatch(r"kill \d+", commands[2])
    assert commands[3] == "./shop"
    assert texts[-1] == "shop: listening on 0.0.0.0:8080"


def test_without_motion_everything_is_there() -> None:
    """What hides a line stands in the rule for readers to whom motion is welcome."""
    style = PICTURE.read_text().partition("<style>")[2].partition("</style>")[0]
    still, _, moving = style.partition("@media (prefers-reduced-motion: no-preference)")
    assert "animation" not in still
    assert re.findall(r"(\.\w+) { visibility: hidden }", still) == [".cover"]
    assert "animation" in moving
