"""The figures as tables for people, or as one JSON document."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tests.bench.goals import Figures, Goal
from tests.bench.rounds import Series, Spread, Table
from tests.bench.screen import Watched
from tests.bench.subjects import FLOOR

SCHEMA = 2
VERDICTS = {True: "met", False: "NOT met", None: "not measured"}


def text(found: Figures, verdicts: list[Goal]) -> Iterator[str]:
    """All but the tables."""
    if found.start_up:
        yield "start-up, median (quartiles)"
        for name, spread in found.start_up.items():
            yield f"  {name:44} {spread.median:5.2f} s ({spread.low:.2f}-{spread.high:.2f})"
        yield ""
    for name, watched in _watched(found).items():
        yield f"screen, {name}: {_describe(watched)}"
    for name, sent in found.sent.items():
        rows = ", ".join(f"{rows} rows {each:.0f}" for rows, each in sent.per_look.items())
        yield f"bytes at 80x24, {name}: first paint {sent.first_paint}, a look with {rows} changed"
    for name, looks in found.looks.items():
        yield (
            f"{name}: {looks.cpu_share * 100:.1f} % of a core,"
            f" {_ms(looks.cpu_of_a_look_s)} ms a look at {looks.sockets:,} sockets,"
            f" snapshots up to {looks.oldest_s:.1f} s old"
        )
    yield from (f"left out: {each}" for each in found.left_out)
    yield from goal_lines(verdicts)


def goal_lines(verdicts: list[Goal]) -> Iterator[str]:
    """A line a goal."""
    yield ""
    yield f"{'goal':47} {'at':51} {'at most':>8} {'measured':>9}"
    for goal in verdicts:
        measured = "-" if goal.measured is None else _number(goal.measured)
        notes = "; ".join(each for each in (goal.spoilt, goal.note) if each)
        note = f" ({notes})" if notes else ""
        yield (
            f"{goal.name:47} {goal.at:51} {_number(goal.limit):>8} {measured:>9}"
            f"  {goal.unit}: {VERDICTS[goal.met]}{note}"
        )


def table_lines(table: Table) -> Iterator[str]:
    """A table in Markdown."""
    yield table.title
    yield from (f"  {note}" for note in table.notes)
    yield (
        f"  {'':32} {'median':>9} {'quartiles':>17} {'x ' + table.base:>10} {'quartiles':>11}"
        f" {'x floor':>8} {'CPU':>8} {'peak':>8} {'runs':>4}"
    )
    for series in table.series.values():
        if not series.samples:
            yield f"  {series.name:32} left out: {series.left_out}"
            continue
        wall = series.wall_s
        ratio, floor = _ratio(table, series, table.base), _ratio(table, series, FLOOR)
        yield (
            f"  {series.name:32} {_ms(wall.median):>9} {_ms(wall.low) + '-' + _ms(wall.high):>17}"
            f" {_times(ratio):>10} {_quartiles(ratio):>11} {_times(floor):>8}"
            f" {_ms(series.cpu_s):>8} {series.peak_bytes / 1e6:>5.0f} MB {len(series.samples):>4}"
        )


def document(found: Figures, verdicts: list[Goal], *, quick: bool) -> str:
    """The whole report in Markdown."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "kernel": os.uname().release,
            "cpus": os.cpu_count(),
            "quick": quick,
            "tables": [_table(table) for table in found.tables.values()],
            "start_up_s": {name: asdict(spread) for name, spread in found.start_up.items()},
            "screen": {name: asdict(watched) for name, watched in _watched(found).items()},
            "terminal_bytes": {name: asdict(sent) for name, sent in found.sent.items()},
            "namespaces": {name: asdict(looks) for name, looks in found.looks.items()},
            "left_out": found.left_out,
            "goals": [asdict(goal) | {"met": goal.met} for goal in verdicts],
        },
        indent=1,
    )


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "sockets": table.sockets,
        "base": table.base,
        "notes": list(table.notes),
        "runs": [_series(table, series) for series in table.series.values()],
    }


def _series(table: Table, series: Series) -> dict[str, Any]:
    if not series.samples:
        return {"name": series.name, "left_out": series.left_out}
    bases = {"base": table.base, "floor": FLOOR}
    ratios = {name: _ratio(table, series, base) for name, base in bases.items()}
    return {
        "name": series.name,
        "runs": len(series.samples),
        "wall_s": asdict(series.wall_s),
        "cpu_s": series.cpu_s,
        "peak_bytes": series.peak_bytes,
        "ratio": {name: ratio and asdict(ratio) for name, ratio in ratios.items()},
    }


def _watched(found: Figures) -> dict[str, Watched]:
    own, other = found.beside_htop or (None, None)
    every = {**found.screens, "beside htop": own, "htop": other}
    return {name: watched for name, watched in every.items() if watched is not None}


def _describe(watched: Watched) -> str:
    slowed = ", looked less often than once a second" if watched.slowed else ""
    return (
        f"{watched.cpu_share * 100:.1f} % of a core, {watched.sent_bytes} bytes"
        f" in {watched.seconds:.0f} s{slowed}"
    )


def _ratio(table: Table, series: Series, to: str) -> Spread | None:
    base = table.get(to)
    return None if base is None else series.ratio(base)


def _times(ratio: Spread | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f}"


def _quartiles(ratio: Spread | None) -> str:
    return "" if ratio is None else f"{ratio.low:.2f}-{ratio.high:.2f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 1 else f"{seconds * 1000:.0f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
