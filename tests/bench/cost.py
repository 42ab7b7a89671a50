"""What sockwatch costs, beside the tools people would use instead: one command, real sockets.

Run: .venv/bin/python -m tests.bench.cost [--quick] [--json] [--only SECTION ...]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import report, screen
from tests.bench.crowds import TimeWaits, established, processes
from tests.bench.goals import MANY, MOST, PORTS, Figures, goals
from tests.bench.measure import Contender, program, subject
from tests.bench.rounds import Rounds, Series, Table, alternate
from tests.bench.subjects import SUBJECTS
from tests.support.netns import become_root_of_a_user_namespace, fresh_netns
from tests.support.time_waits import FIRST_PORT

TABLE_PROGRAMS = ("ss -tanH", "netstat -tan", "lsof -nP -iTCP")
HOLDER_PROGRAMS = ("ss -tlnp", "lsof -nP -iTCP")
MOST_ROUNDS = 2  # a million TIME_WAITs have to be made anew for each


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    counts: tuple[int, ...]
    ports: tuple[int, ...]
    established: int
    rounds: Rounds
    start_ups: int
    watch_s: float
    htop_s: float


FULL = Plan((1_000, 10_000, MANY, MOST), PORTS, 20_000, Rounds(7, 45.0), 9, 20.0, 60.0)
QUICK = Plan((MANY,), PORTS[-1:], 4_000, Rounds(3, 1.5), 3, 6.0, 10.0)


def main() -> None:
    arguments = parse()
    if os.geteuid() != 0 and not become_root_of_a_user_namespace():
        sys.exit("this user may not make network namespaces: run as root")
    plan = QUICK if arguments.quick else FULL
    found = Figures() if arguments.json else Figures(show=show)
    for name, section in SECTIONS.items():
        if not arguments.only or name in arguments.only:
            tell(name)
            section(plan, found)
    verdicts = goals(found)
    if arguments.json:
        print(report.document(found, verdicts, quick=arguments.quick))
    else:
        print("\n".join(report.text(found, verdicts)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of all, in two minutes")
    parser.add_argument("--json", action="store_true", help="print one document")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="measure these sections alone")
    return parser.parse_args()


def time_waits(plan: Plan, found: Figures) -> None:
    for ports in plan.ports:
        last: dict[str, Series] = {}
        last_count = 1
        for count in plan.counts:
            growth = count / last_count
            expected = {
                name: series.wall_s.median * growth
                for name, series in last.items()
                if series.samples
            } | {name: plan.rounds.limit_s * 99 for name, s in last.items() if not s.samples}
            title = f"{count:,} TIME_WAITs over {ports} port{'s' if ports > 1 else ''}"
            tell(title)
            rounds = plan.rounds if count < MOST else replace(plan.rounds, count=MOST_ROUNDS)
            with fresh_netns(), ExitStack() as stack:
                made = TimeWaits(count, ports, stack)
                counts: list[int] = []

                def refresh(made: TimeWaits = made, counts: list[int] = counts) -> None:
                    counts.append(waiting())
                    made.refresh()
                    counts.append(waiting())

                series = alternate(table_contenders(), rounds, expected_s=expected, refresh=refresh)
                counts.append(waiting())
            note = f"{min(counts[1:]):,} to {max(counts):,} of them at the ends of the rounds"
            table = Table(title, count, series, (note,))
            found.time_waits[count, ports] = table
            found.show(table)
            last, last_count = series, count


def connections(plan: Plan, found: Figures) -> None:
    count = plan.established
    with fresh_netns(), established(count // 2):
        series = alternate(table_contenders(), plan.rounds, expected_s={})
    found.others["established"] = table = Table(f"{count:,} ESTABLISHED", count, series)
    found.show(table)


def holders(plan: Plan, found: Figures) -> None:
    names = [name for name in SUBJECTS if "port" not in name and "why" not in name]
    contenders = [subject(name, FIRST_PORT) for name in names if name != "stock pyroute2"]
    contenders += [program(command) for command in HOLDER_PROGRAMS]
    with fresh_netns(), processes(1_000, 50, 2_000):
        series = alternate(contenders, plan.rounds, expected_s={})
    table = Table("2,000 listeners, 1,000 processes x 50 fds", 2_000, series)
    found.others["holders"] = table
    found.show(table)


def start_up(plan: Plan, found: Figures) -> None:
    with fresh_netns():
        found.start_up = screen.start_up(plan.start_ups)


def screens(plan: Plan, found: Figures) -> None:
    with fresh_netns():
        found.quiet = screen.watch_sockwatch(plan.watch_s)
        found.beside_htop = screen.beside_htop(plan.htop_s)
        if found.beside_htop is None:
            found.left_out.append("htop is not installed")
    with fresh_netns(), ExitStack() as stack:
        stack.enter_context(processes(1_000, 50, 2_000))
        TimeWaits(MANY, PORTS[-1], stack).refresh()
        found.busy = screen.watch_sockwatch(plan.watch_s)
    found.sent = {name: screen.terminal_bytes(term) for name, term in screen.TERMS.items()}


SECTIONS: dict[str, Callable[[Plan, Figures], None]] = {
    "time-waits": time_waits,
    "connections": connections,
    "holders": holders,
    "start-up": start_up,
    "screens": screens,
}


def table_contenders() -> list[Contender]:
    return [
        *(subject(name, FIRST_PORT) for name in SUBJECTS),
        *(program(command) for command in TABLE_PROGRAMS),
    ]


def show(table: Table) -> None:
    """At once: the whole takes a quarter of an hour."""
    print(*report.table_lines(table), sep="\n", end="\n\n", flush=True)


def tell(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


def waiting() -> int:
    """TIME_WAITs of this network namespace."""
    words = Path("/proc/net/sockstat").read_text().split()
    return int(words[words.index("tw") + 1])


if __name__ == "__main__":
    main()
