"""README's table of what sockwatch sees on which kernel, made from the recorded runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from tests.vm.places import ROOT
from tests.vm.record import Run, load
from tests.vm.sights import SIGHTS

README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- python -m tests.vm --table -->\n"
END: Final = "<!-- end of the table -->\n"


def table(runs: Sequence[Run]) -> Iterator[str]:
    """Its lines in Markdown: a column for kernels that see the same, a row for each sight."""
    columns = [list(alike) for _, alike in groupby(runs, key=lambda run: run.sights)]
    yield f"| Linux | {' | '.join(map(_releases, columns))} |"
    yield "|---|" + ":---:|" * len(columns)
    for sight in SIGHTS:
        answers = (column[0].sights[sight.id] for column in columns)
        yield f"| {sight.title} | {' | '.join(answers)} |"


def _releases(runs: Sequence[Run]) -> str:
    first, last = runs[0].release, runs[-1].release
    return first if first == last else f"{first} to {last}"


def in_readme(text: str) -> str:
    """The text of README with the table as it should be."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"README has no {BEGIN}"
    assert end, f"README has no {END}"
    return before + begin + "".join(f"{line}\n" for line in table(load())) + end + after


def renew() -> None:
    """Write the table into README."""
    README.write_text(in_readme(README.read_text()))
