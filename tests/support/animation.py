"""A terminal session as an animated SVG: CSS alone, no script, a still picture where it rests.

What stands in the file is the last moment, with every line there. The animation only hides lines
until their time comes, and is left out for readers who prefer reduced motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from sockwatch.view.fit import cell_width

CELL: Final = 8.4  # pixels; a text is drawn as wide as its cells, whatever the font
ROW: Final = 18.0
MARGIN: Final = 14.0
BAR: Final = 30.0  # with the three buttons of a window
PROMPT: Final = "$ "
BACKGROUND: Final = "#1e1e1e"
STYLE: Final = """\
text { font: 14px Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d4d4d4; white-space: pre }
.typed { fill: #ffffff; font-weight: bold }
.cover { visibility: hidden }
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A line that comes at `at_s` seconds; one that is `typed` until `until_s` has a prompt."""

    text: str
    at_s: float
    typed: tuple[float, float] | None = None
    until_s: float = 0.0


def animated_svg(lines: Sequence[Shown], lasts_s: float, columns: int, title: str) -> str:
    """The picture; it starts again after `lasts_s` seconds. `typed` is from when to when."""
    width = columns * CELL + 2 * MARGIN
    height = len(lines) * ROW + BAR + MARGIN
    rules, drawn = [], []
    for number, line in enumerate(lines):
        y = BAR + number * ROW
        rules.append(_appears(f"l{number}", line.at_s, lasts_s))
        kind = "typed" if line.typed else "told"
        if line.text:
            drawn.append(
                f'<text class="{kind} l{number}" x="{MARGIN}" y="{y + 13:g}" xml:space="preserve"'
                f' textLength="{cell_width(line.text) * CELL:g}">{escape(line.text)}</text>'
            )
        if line.typed:
            rules.append(_typed(f"c{number}", line, lasts_s))
            x = MARGIN + len(PROMPT) * CELL
            drawn.append(
                f'<g class="cover c{number}"><rect x="{x:g}" y="{y:g}" width="{width:g}"'
                f' height="{ROW:g}" fill="{BACKGROUND}"/><rect x="{x:g}" y="{y:g}"'
                f' width="{CELL}" height="{ROW - 2:g}" fill="#d4d4d4"/></g>'
            )
    buttons = "".join(
        f'<circle cx="{20 + 18 * place}" cy="15" r="5.5" fill="{colour}"/>'
        for place, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    moving = "\n".join(rules)
    content = "\n".join(drawn)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">
<title>{escape(title)}</title>
<style>
{STYLE}@media (prefers-reduced-motion: no-preference) {{
{moving}
}}
</style>
<rect width="{width:g}" height="{height:g}" rx="8" fill="{BACKGROUND}"/>
{buttons}
{content}
</svg>
"""


def _appears(name: str, at_s: float, lasts_s: float) -> str:
    """The rule that hides what has this class until then."""
    return (
        f".{name} {{ animation: {name} {lasts_s:g}s step-end infinite }}\n"
        f"@keyframes {name} {{ 0% {{ visibility: hidden }}"
        f" {at_s / lasts_s:.3%} {{ visibility: visible }} }}"
    )


def _typed(name: str, line: Shown, lasts_s: float) -> str:
    """The rule that uncovers a command a character at a time, with the cursor after it."""
    assert line.typed is not None
    cells = cell_width(line.text) - len(PROMPT)
    first, last = (moment / lasts_s for moment in line.typed)
    return (
        f".{name} {{ animation: {name} {lasts_s:g}s step-end infinite }}\n"
        f"@keyframes {name} {{ 0% {{ visibility: hidden }}"
        f" {line.at_s / lasts_s:.3%} {{ visibility: visible; transform: translateX(0) }}"
        f" {first:.3%} {{ visibility: visible; transform: translateX(0);"
        f" animation-timing-function: steps({cells}, end) }}"
        f" {last:.3%} {{ visibility: visible; transform: translateX({cells * CELL:g}px) }}"
        f" {line.until_s / lasts_s:.3%} {{ visibility: hidden }} }}"
    )
