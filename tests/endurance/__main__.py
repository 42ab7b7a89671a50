"""sockwatch for half an hour on a host that does not rest, driven by keys all the time.

Run as root: .venv/bin/python -m tests.endurance [--minutes 30] [--standing 50000] [--seed N]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace

from tests.endurance import load, report
from tests.endurance.run import Plan, run
from tests.endurance.verdict import Demands, faults
from tests.support.netns import become_root_of_a_user_namespace

# Threads that come and go get memory of their own, which is level after some minutes.
THIRDS_LEVEL_AFTER_S, GROWTH_BEFORE_KB = 900.0, 16_000
LEVEL_AFTER_S = 180.0  # a shorter run ends before its TIME_WAITs, which last for 60 s, are level
FEW_TIME_WAITS, ALL_TIME_WAITS = 20_000, 1_000_000
# Where the machine cannot do that, nothing can be said of it.
DEMANDS = Demands(
    load.CONNECTIONS_PER_S * 0.95,
    load.PROCESSES_PER_S * 0.95,
    load.PORTS_PER_S * 0.95,
    looks_per_s=0.2,
    growth_kb=4_000,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--standing", type=int, default=50_000, help="connections that stay")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10_000)
    arguments = parser.parse_args()
    if os.geteuid() != 0 and not become_root_of_a_user_namespace():
        sys.exit("this user may not make network namespaces: run as root")
    seconds = arguments.minutes * 60
    most = ALL_TIME_WAITS if seconds > LEVEL_AFTER_S else FEW_TIME_WAITS
    print(f"{arguments.minutes:g} minutes, --seed {arguments.seed}", flush=True)
    plan = Plan(seconds, arguments.standing, most_time_waits=most, seed=arguments.seed)
    demands = DEMANDS
    if seconds < THIRDS_LEVEL_AFTER_S:
        demands = replace(demands, growth_kb=GROWTH_BEFORE_KB)
    found = run(plan, lambda line: print(line, flush=True))
    print(report.text(found))
    wrong = list(faults(found, demands))
    for line in wrong:
        print(f"FAILED: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
