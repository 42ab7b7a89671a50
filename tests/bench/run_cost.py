"""What a bind() costs under `sockwatch run`, beside a plain one, in turns: a socket each.

Run: .venv/bin/python -m tests.bench.run_cost [BINDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from tests.support.netns import fresh_netns
from tests.support.run import PYTHON, command

ROUNDS = 5
BINDER = """
import socket, sys, time
started = time.perf_counter_ns()
for _ in range(int(sys.argv[1])):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
print((time.perf_counter_ns() - started) / int(sys.argv[1]))
"""


def us_each(words: list[str]) -> float:
    """Of one bind(), with its socket."""
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout) / 1000


def main() -> None:
    """Print the medians and their ratio."""
    program = [*PYTHON, BINDER, sys.argv[1] if len(sys.argv) > 1 else "1000"]
    ways = {
        "plain": program,
        "run --by seccomp": command(["--by", "seccomp"], program),
        "run --by bpf": command(["--by", "bpf"], program),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    with fresh_netns():
        for _ in range(ROUNDS):
            for name, words in ways.items():
                found[name].append(us_each(words))
    plain = statistics.median(found["plain"])
    for name, values in found.items():
        median = statistics.median(values)
        print(f"{name:18} {median:8.1f} us a bind(), {median / plain:5.1f} x plain")


if __name__ == "__main__":
    main()
