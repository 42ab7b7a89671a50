"""The recorded runs: a file for each kernel, with what was seen there and how the tests ended."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

from sockwatch.bind.kernels import Release, parse_release
from tests.vm.machine import Booted

FOLDER: Final = Path(__file__).with_name("runs")


class Run(NamedTuple):
    """`kernel` is what `uname -r` says, `quirks` those that the kernel has shown.

    `outcomes` counts the tests, `skipped` those of each reason; all are empty where none ran.
    """

    release: str
    kernel: str
    sights: dict[str, str]
    quirks: frozenset[str]
    outcomes: dict[str, int]
    failed: dict[str, str]
    skipped: dict[str, int]

    @property
    def number(self) -> Release:
        """The upstream release."""
        number = parse_release(self.release)
        assert number is not None
        return number


def run_of(booted: Booted) -> Run:
    """What is recorded of a run."""
    answer = booted.answer
    tests: dict[str, dict[str, Any]] = answer["tests"]
    skipped = Counter(t["reason"] for t in tests.values() if t["outcome"] == "skipped")
    return Run(
        release=answer["release"],
        kernel=answer["kernel"],
        sights=answer["sights"],
        quirks=frozenset(name for name, is_shown in answer["quirks"].items() if is_shown),
        outcomes=dict(sorted(Counter(t["outcome"] for t in tests.values()).items())),
        failed={
            name: test["reason"].strip().splitlines()[-1]
            for name, test in sorted(tests.items())
            if test["outcome"] == "failed"
        },
        skipped=dict(sorted(skipped.items())),
    )


def keep(run: Run) -> Path:
    """Write it in place of an earlier one of the same kernel; returns the file."""
    FOLDER.mkdir(exist_ok=True)
    fields = {**run._asdict(), "quirks": sorted(run.quirks)}
    file = FOLDER / f"{run.release}.json"
    file.write_text(json.dumps(fields, indent=1) + "\n")
    return file


def load() -> list[Run]:
    """All of them, oldest kernel first."""
    runs = []
    for file in FOLDER.glob("*.json"):
        fields = json.loads(file.read_text())
        runs.append(Run(**{**fields, "quirks": frozenset(fields["quirks"])}))
    return sorted(runs, key=lambda run: run.number)
