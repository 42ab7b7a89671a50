"""One run of one contender, in a process of its own."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Sample:
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to run; `absent` says why it cannot be run here."""

    name: str
    run: Callable[[], Sample]
    absent: str = ""


def subject(name: str, port: int) -> Contender:
    """One of subjects.SUBJECTS, in a fresh interpreter."""
    command = [sys.executable, "-m", "tests.bench.subjects", name, str(port)]
    return Contender(name, lambda: _sample(command), no_bpf() if name in NEED_BPF else "")


def program(command: str) -> Contender:
    """A program of the system, by its command line."""
    words = command.split()
    launched = [sys.executable, "-I", "-S", str(LAUNCHER), *words]
    absent = "" if shutil.which(words[0]) else "not installed"
    return Contender(command, lambda: _sample(launched), absent)


NEED_BPF = frozenset({"take_snapshot()", "look of a kept reader", "take_snapshot(port)", "why"})


@functools.cache
def no_bpf() -> str:
    """Why the BPF iterators cannot be had here; empty if they can."""
    from sockwatch.kernel.bpf.reader import BpfReader

    reader = BpfReader()
    reader.ready()
    reader.close()
    return reader.failure or reader.shortfall or ""


def _sample(command: list[str]) -> Sample:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    return Sample(found["wall_s"], found["cpu_s"], found["peak_bytes"])
