"""What sockwatch costs, beside the tools people would use instead: one command, real sockets.

Run: .venv/bin/python -m tests.bench.cost [--quick] [--json] [--only LOAD ...]
"""

from __future__ import annotations

import argparse
import compileall
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import sockwatch
from tests.bench import namespaces, report, screen
from tests.bench.crowds import TimeWaits, established, processes
from tests.bench.goals import (
    BUSY,
    CROWDED_TABLE,
    SCREEN_CONNECTIONS,
    TABLE_CONNECTIONS,
    Figures,
    goals,
)
from tests.bench.loads import (
    CROWD,
    CROWD_LISTENERS,
    LOADS,
    NEARLY_ALL,
    QUIET,
    SPREAD,
    Load,
    NotBuiltError,
    building,
    title_of_connections,
)
from tests.bench.rounds import Rounds, Series, Table, alternate
from tests.support.netns import become_root_of_a_user_namespace, fresh_netns


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: Rounds
    start_ups: int
    watch_s: float
    htop_s: float


FULL = Plan(Rounds(7, 45.0), 9, 20.0, 60.0)
QUICK = Plan(Rounds(3, 1.5), 3, 6.0, 10.0)


def main() -> None:
    arguments = parse()
    if os.geteuid() != 0 and not become_root_of_a_user_namespace():
        sys.exit("this user may not make network namespaces: run as root")
    # An installed wheel has bytecode, whatever this shell says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(sockwatch.__file__).parent, quiet=1)
    plan = QUICK if arguments.quick else FULL
    found = Figures() if arguments.json else Figures(show=show)
    wanted = arguments.only or KINDS
    loads = [load for load in LOADS if load.kind in wanted]
    # What is named is measured, however large.
    measure_all(
        [load for load in loads if load.quick or arguments.only or not arguments.quick],
        plan.rounds,
        found,
    )
    for name, section in SECTIONS.items():
        if name in wanted:
            tell(name)
            try:
                section(plan, found)
            except NotBuiltError as error:
                found.left_out.append(f"{name}: {error}")
    verdicts = goals(found)
    if arguments.json:
        print(report.document(found, verdicts, quick=arguments.quick))
    else:
        print("\n".join(report.text(found, verdicts)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of all, in some minutes")
    parser.add_argument("--json", action="store_true", help="print one document")
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, help="measure these alone, also the large"
    )
    return parser.parse_args()


def measure_all(loads: list[Load], rounds: Rounds, found: Figures) -> None:
    """Each load in turn; those that could not be built are left out, with the reason."""
    last: dict[str, Table] = {}  # by line
    for load in loads:
        tell(load.title)
        expected = expected_s(load, last.get(load.line), rounds)
        try:
            table = measure(load, rounds, expected)
        except NotBuiltError as error:
            found.left_out.append(f"{load.title}: {error}")
            tell(f"the next one: {error}")
            continue
        found.tables[load.title] = table
        found.show(table)
        if load.line:
            last[load.line] = table


def measure(load: Load, rounds: Rounds, expected: dict[str, float]) -> Table:
    """In a network namespace of its own. Raises NotBuiltError."""
    counts: list[int] = []
    with fresh_netns(), ExitStack() as stack:
        with building():
            renew = load.build(stack)

        def refresh() -> None:
            counts.append(load.counted())
            with building():
                renew()
            counts.append(load.counted())
            if counts[-1] < load.sockets * NEARLY_ALL:
                raise NotBuiltError(f"there are only {counts[-1]:,} sockets of {load.sockets:,}")

        rounds = Rounds(min(rounds.count, load.most_rounds), rounds.limit_s)
        series = alternate(load.contenders(), rounds, expected_s=expected, refresh=refresh)
        counts.append(load.counted())
    note = f"{min(counts[1:]):,} to {max(counts):,} sockets at the ends of the rounds"
    return Table(load.title, load.sockets, load.base, series, (note,))


def expected_s(load: Load, smaller: Table | None, rounds: Rounds) -> dict[str, float]:
    """How long each may take, by what it took at a smaller load of the same line."""
    if smaller is None:
        return {}
    growth = load.sockets / smaller.sockets

    def expected(series: Series) -> float:
        return series.wall_s.median * growth if series.samples else rounds.limit_s * 99

    return {name: expected(series) for name, series in smaller.series.items()}


def start_up(plan: Plan, found: Figures) -> None:
    with fresh_netns():
        found.start_up = screen.start_up(plan.start_ups)
    with fresh_netns(), ExitStack() as stack:
        with building():
            stack.enter_context(established(TABLE_CONNECTIONS // 2))
        found.start_up[CROWDED_TABLE] = screen.first_paint_s(plan.start_ups)


def screens(plan: Plan, found: Figures) -> None:
    with fresh_netns():
        found.screens[QUIET] = screen.watch_sockwatch(plan.watch_s)
        found.beside_htop = screen.beside_htop(plan.htop_s)
        if found.beside_htop is None:
            found.left_out.append("htop: not installed")
    with fresh_netns(), ExitStack() as stack:
        with building():
            stack.enter_context(processes(CROWD, 50, CROWD_LISTENERS))
            TimeWaits(100_000, SPREAD[-1], stack).refresh()
        found.screens[BUSY] = screen.watch_sockwatch(plan.watch_s)
    with fresh_netns(), ExitStack() as stack:
        with building():
            stack.enter_context(established(SCREEN_CONNECTIONS // 2))
        at = title_of_connections(SCREEN_CONNECTIONS)
        found.screens[at] = screen.watch_sockwatch(plan.watch_s)
    found.sent = {name: screen.terminal_bytes(term) for name, term in screen.TERMS.items()}


def many_namespaces(plan: Plan, found: Figures) -> None:
    with fresh_netns(), building():
        found.looks = namespaces.measured(plan.watch_s)


SECTIONS = {"start-up": start_up, "screens": screens, "namespaces": many_namespaces}
KINDS = [*dict.fromkeys(load.kind for load in LOADS), *SECTIONS]


def show(table: Table) -> None:
    """At once: the whole takes more than half an hour."""
    print(*report.table_lines(table), sep="\n", end="\n\n", flush=True)


def tell(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
