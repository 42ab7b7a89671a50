"""Run tests on another kernel, in a virtual machine.

Run: python -m tests.vm KERNEL [pytest arguments]  as in: python -m tests.vm 6.1 -k pairs
     python -m tests.vm --list                     which kernels can be had
     python -m tests.vm --record KERNEL ...        run what tests/vm/chosen.py names; keep that
     python -m tests.vm --look KERNEL ...          look and try the quirks, without tests; keep that
     python -m tests.vm --table                    README's table, from the record
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence

from tests.vm import chosen, kernels, machine, record, table
from tests.vm.kernels import Kernel
from tests.vm.places import Unavailable

MINUTES = 90.0


def main(words: list[str]) -> int:
    """Return the exit code: that of pytest, 2 for wrong usage, 3 where nothing could be run."""
    match words:
        case ["--list"]:
            return _list()
        case ["--table"]:
            table.renew()
            return 0
        case ["--record", *wanted] if wanted:
            return _record(wanted, chosen.WHOLE)
        case ["--look", *wanted] if wanted:
            return _record(wanted, ())
        case [wanted, *arguments] if not wanted.startswith("-"):
            return _run(wanted, arguments)
    print(__doc__, file=sys.stderr)
    return 2


def _list() -> int:
    found = kernels.find()
    for kernel in found.kernels:
        print(f"{kernel.release:10} {kernel.name:32} {kernel.suite}")
    _say(*found.missing)
    return 0 if found.kernels else 3


def _run(wanted: str, arguments: list[str]) -> int:
    named = any(word.startswith("tests") for word in arguments)
    tests = [] if named else chosen.WHOLE
    booted = _boot(kernels.choose(wanted, kernels.find()), [*tests, *arguments])
    for name, answer in booted.answer["sights"].items():
        print(f"{name:20} {answer}")
    print(f"quirks: {', '.join(sorted(record.run_of(booted).quirks)) or 'none'}")
    return int(booted.answer["exit"])


def _record(wanted: list[str], tests: tuple[str, ...]) -> int:
    found = kernels.find()
    _say(*found.missing)
    failed = 0
    for kernel in [kernels.choose(name, found) for name in wanted]:
        run = record.run_of(_boot(kernel, tests))
        print(f"{run.release}: {run.outcomes}, kept in {record.keep(run)}")
        failed |= bool(run.failed)
    table.renew()
    return failed


def _boot(kernel: Kernel, tests: Sequence[str]) -> machine.Booted:
    started = time.monotonic()
    arguments = [*chosen.OPTIONS, *tests] if tests else []
    booted = machine.run(kernel, arguments, minutes=MINUTES, show=print)
    _say(f"{kernel.release}: {time.monotonic() - started:.0f} s by {booted.accelerator}")
    return booted


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of every `with`
    try:
        sys.exit(main(sys.argv[1:]))
    except (Unavailable, machine.MachineFailed) as reason:
        _say(str(reason))
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
