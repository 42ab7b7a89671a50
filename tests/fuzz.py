"""The property tests of the parsers, run for long: another seed every round.

Run: .venv/bin/python -m tests.fuzz [--minutes 10] [TARGET ...]

The test command runs the same tests with 100 examples each. What fails is kept in .hypothesis, and
tried first by every later run.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LONG: Final = "long"  # the profile of hypothesis, in conftest.py

# What is read from elsewhere -> its property tests: a file, or one test of it.
TARGETS: Final = {
    "netlink": (
        "tests/kernel/test_fuzz.py::test_netlink_rows",
        "tests/kernel/test_fuzz.py::test_runs_of_mini_sockets",
        "tests/kernel/test_fuzz.py::test_answers_of_rtnetlink",
        "tests/kernel/test_fuzz.py::test_damaged_routes",
        "tests/kernel/test_fuzz.py::test_unix_sockets",
        "tests/kernel/sock_diag/test_row_decoder.py",
    ),
    "iterators": (
        "tests/kernel/test_fuzz.py::test_rows_of_the_iterators",
        "tests/kernel/test_fuzz.py::test_groups_of_the_iterators",
        "tests/kernel/bpf/test_netns_iterators.py",
    ),
    "btf": (
        "tests/kernel/bpf/test_btf.py",
        "tests/kernel/test_fuzz.py::test_elf_notes",
    ),
    "ring": ("tests/kernel/failures/test_ring.py", "tests/kernel/failures/test_address.py"),
    "proc": (
        "tests/kernel/proc/test_parsers.py",
        "tests/kernel/origin/test_monitors.py",
        "tests/kernel/origin/test_paths.py",
        "tests/kernel/netns/test_names.py",
        "tests/kernel/test_proc_net.py",
    ),
    "systemd": ("tests/kernel/origin/test_socket_units.py",),
    "nat": ("tests/kernel/netfilter/test_nft.py", "tests/kernel/netfilter/test_iptables.py"),
    "filter": ("tests/view/test_filter.py",),
    "endpoint": (
        "tests/view/test_asked.py",
        "tests/cli/test_why.py::test_any_text_is_an_endpoint_or_our_error",
        "tests/cli/test_first_word.py",
    ),
    "document": ("tests/export/test_odd_hosts.py", "tests/export/test_carried.py"),
    "json": (
        "tests/kernel/test_fuzz.py::test_the_cached_layout",
        "tests/kernel/netns/test_unprivileged_packed.py",
        "tests/lab/test_wire.py",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.targets if name not in TARGETS]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(TARGETS)}")
    failed = [name for name in arguments.targets or TARGETS if not fuzz(name, arguments.minutes)]
    return 1 if failed else 0


def fuzz(target: str, minutes: float) -> bool:
    """Whether all rounds passed that began within the time; the first that fails is the last."""
    until = time.monotonic() + minutes * 60
    rounds = 0
    while time.monotonic() < until:
        seed = random.randrange(1 << 32)  # noqa: S311 - no secret
        done = run_round(target, f"--hypothesis-profile={LONG}", f"--hypothesis-seed={seed}")
        if done.returncode:
            print(f"{target}: FAILED with --hypothesis-seed={seed}\n{done.stdout}", flush=True)
            return False
        rounds += 1
    print(f"{target}: {rounds} rounds passed", flush=True)
    return True


def run_round(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest on the property tests of the target alone."""
    pytest = [sys.executable, "-m", "pytest", "-n0", "-q", "-m", "hypothesis"]
    return subprocess.run(
        [*pytest, *arguments, *TARGETS[target]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=ROOT,
    )


if __name__ == "__main__":
    sys.exit(main())
