"""What to do, as numbered steps: alternatives, what has to follow, and what helps later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sockwatch.view.code_lines import code_line
from sockwatch.view.lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sockwatch.bind import Fix

WORDS: Final = {"or": "or ", "then": "then ", "later": "for future starts, "}


def step_lines(fixes: Sequence[Fix], language: str) -> Iterator[Line]:
    """A line each, numbered if there are several, with its command or line of code below."""
    for number, fix in enumerate(fixes, 1):
        text = step_text(fix, is_first=number == 1)
        yield Line("text", f"{number}. {text}" if len(fixes) > 1 else text, hang=3)
        if (below := command_or_code(fix, language)) is not None:
            yield Line("command", below, 3)


def step_text(fix: Fix, *, is_first: bool) -> str:
    """``or stop web.service``, ``then wait 60 s``, ``for future starts, set SO_REUSEADDR ...``."""
    if is_first and fix.step != "later":
        return fix.text
    return f"{WORDS[fix.step]}{fix.text}"


def command_or_code(fix: Fix, language: str) -> str | None:
    """What can be pasted; None if the fix is in words alone."""
    return fix.command or (code_line(fix.options, language) if fix.options else None)
