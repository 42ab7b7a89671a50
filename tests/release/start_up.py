"""What each form takes to start, beside a venv of the same Python: in turn, with medians."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.release.pyz import CARRIED_NAME, PYZ_NAME

ROUNDS: Final = 25
MOST: Final = 1.5
QUESTIONS: Final[tuple[tuple[str, ...], ...]] = (("--help",), ("why", "8099"), ("ports", "--json"))
ANSWERS: Final = (0, 1)


def start_up(folder: Path, wheel: Path) -> tuple[bool, Iterator[str]]:
    """Whether no form takes more than MOST times a venv's time, and the lines of the table."""
    with tempfile.TemporaryDirectory() as base:
        venv.create(f"{base}/with", with_pip=True)
        install = [f"{base}/with/bin/python", "-m", "pip", "install", "-q", str(wheel)]
        subprocess.run(install, check=True, cwd="/")
        venv.create(f"{base}/without", with_pip=False)  # the same Python, no site-packages
        forms = {
            "venv": [f"{base}/with/bin/sockwatch"],
            "pyz": [f"{base}/without/bin/python", str(folder / PYZ_NAME)],
            "self-contained": [str(folder / CARRIED_NAME / "sockwatch")],
        }
        medians = {
            question: {
                form: statistics.median(taken) for form, taken in _measured(forms, question, base)
            }
            for question in QUESTIONS
        }
    ratios = {
        question: {form: taken / median["venv"] for form, taken in median.items()}
        for question, median in medians.items()
    }
    met = all(ratio <= MOST for row in ratios.values() for ratio in row.values())
    return met, _lines(medians, ratios)


def _measured(
    forms: dict[str, list[str]], question: tuple[str, ...], unpack_to: str
) -> Iterator[tuple[str, list[float]]]:
    """Seconds of each round but the first, which unpacks and compiles."""
    environment = {"PATH": "/usr/bin", "SOCKWATCH_UNPACK_TO": unpack_to}
    taken: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(ROUNDS + 1):
        for form, command in forms.items():
            started = time.perf_counter()
            done = subprocess.run(
                [*command, *question], capture_output=True, env=environment, check=False
            )
            taken[form].append(time.perf_counter() - started)
            if done.returncode not in ANSWERS:
                sys.exit(f"{form} exits with {done.returncode}: {done.stderr.decode()}")
    yield from ((form, seconds[1:]) for form, seconds in taken.items())


def _lines(
    medians: dict[tuple[str, ...], dict[str, float]],
    ratios: dict[tuple[str, ...], dict[str, float]],
) -> Iterator[str]:
    forms = list(next(iter(medians.values())))
    yield f"| start-up, median of {ROUNDS}, ms | " + " | ".join(forms) + " |"
    yield "|---|" + "---:|" * len(forms)
    for question, median in medians.items():
        cells = (f"{median[form] * 1e3:.0f} ({ratios[question][form]:.2f} x)" for form in forms)
        yield f"| `sockwatch {' '.join(question)}` | " + " | ".join(cells) + " |"
