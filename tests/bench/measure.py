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

from tests.bench.subjects import NEED_BPF
from tests.tui.terminal import SOCKWATCH

LAUNCHER = Path(__file__).with_name("launch.py")
ROOT = Path(__file__).parents[2]
ANSWERS = (0, 1, 3)  # yes, no, and what sockwatch says where it could not be determined
PACKAGES = {"ss": "iproute2", "netstat": "net-tools"}  # where it is not named like the program


class DidNotRunError(Exception):
    """Its time tells nothing: it failed."""


@dataclass(frozen=True, slots=True)
class Sample:
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to run; `absent` says why it cannot be run here. run() raises DidNotRunError."""

    name: str
    run: Callable[[], Sample]
    absent: str = ""


def subject(name: str, port: int) -> Contender:
    """One of subjects.SUBJECTS, in a fresh interpreter."""
    command = [sys.executable, "-m", "tests.bench.subjects", name, str(port)]
    return Contender(name, lambda: _sample(command), no_bpf() if name in NEED_BPF else "")


def program(command: str) -> Contender:
    """A program of the system, or sockwatch itself, by its command line."""
    words = command.split()
    started = [*SOCKWATCH, *words[1:]] if words[0] == "sockwatch" else words
    launched = [sys.executable, "-I", "-S", str(LAUNCHER), *started]
    absent = ""
    if shutil.which(started[0]) is None:
        absent = f"not installed: it is in the package {PACKAGES.get(words[0], words[0])}"
    return Contender(command, lambda: _sample(launched), absent)


@functools.cache
def no_bpf() -> str:
    """Why the BPF iterators cannot be had here; empty if they can."""
    from sockwatch.kernel.bpf.reader import BpfReader

    reader = BpfReader()
    reader.ready()
    reader.close()
    return reader.failure or reader.shortfall or ""


def _sample(command: list[str]) -> Sample:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, cwd=ROOT)
    if done.returncode:
        raise DidNotRunError(f"it failed: {done.returncode}")
    found = json.loads(done.stdout)
    if found["code"] not in ANSWERS:
        raise DidNotRunError(f"it failed: {found['code']}")
    return Sample(found["wall_s"], found["cpu_s"], found["peak_bytes"])
