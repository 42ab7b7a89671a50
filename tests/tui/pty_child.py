"""Run in a terminal of its own by the tests: the app over fabricated snapshots.

Arguments: what to do at each poll (``same``, ``rows:N``, ``stream``, ``crash``, ``hang``), then an
fd. A byte is written to that fd as each poll begins. ``stream`` polls without a pause, and every
row changes.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from typing import TYPE_CHECKING

from sockwatch.tui import Options, run
from tests.support.build import NOW, A, group, gunicorn, holder, port, process, snapshot, socket

if TYPE_CHECKING:
    from sockwatch.model import Port, Snapshot

ROWS = 60


def ports(changed: int, step: int) -> list[Port]:
    """60 ports, of which the first `changed` below the cursor have another count each step."""
    found = [gunicorn()]
    for index in range(1, ROWS):
        value = 100 + step if index <= changed else 5
        held = (holder(process(1000 + index, f"server{index}")),)
        found.append(
            port(
                10_000 + index,
                listeners=(
                    socket("LISTEN", "127.0.0.1", 10_000 + index, flags=A, queue=0, backlog=128,
                           holders=held),
                ),
                groups=(
                    group("ESTABLISHED", "127.0.0.1", value),
                    # The sum stays, so that the header does.
                    group("CLOSE_WAIT", "127.0.0.1", 1000 - value),
                ),
            )
        )  # fmt: skip
    return found


def main() -> int:
    what, tell = sys.argv[1], int(sys.argv[2])
    changed = ROWS if what == "stream" else int(what.partition(":")[2] or 0)
    steps = count()

    def take(number: int | None) -> Snapshot:
        step = next(steps)
        os.write(tell, b".")
        if what == "crash" and step:
            hidden = "-".join(("HIDDEN", "VALUE"))  # noqa: F841, FLY002 - must not be printed
            raise RuntimeError("a poll went wrong")
        if what == "hang" and step:
            os.read(int(sys.argv[3]), 1)
        found = [p for p in ports(changed, step) if number in (None, p.number)]
        return snapshot(found, time=NOW + step, only_port=number)

    return run(Options(interval_s=0.001 if what == "stream" else 60.0), take)


if __name__ == "__main__":
    sys.exit(main())
