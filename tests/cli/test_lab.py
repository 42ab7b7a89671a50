"""`sockwatch lab` as a user meets it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from sockwatch.cli.exit_codes import ExitCode
from sockwatch.lab.scenario import all_scenarios
from tests.support.schemas import read_document
from tests.support.seccomp import refuse

COMMAND = [sys.executable, "-m", "sockwatch"]
NAMES = [one.name for one in all_scenarios()]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        timeout=60,
    )


def test_list_names_every_scenario() -> None:
    done = run("lab", "list")
    assert done.returncode == ExitCode.YES
    assert [line.split()[0] for line in done.stdout.splitlines()] == NAMES
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_list_as_json() -> None:
    document = read_document(run("lab", "list", "--json").stdout, "lab-list")
    assert document["schema"] == 2
    assert [one["name"] for one in document["scenarios"]] == NAMES
    assert set(document["scenarios"][0]) == {
        "name", "title", "claim", "finding", "steps", "needs",
    }  # fmt: skip


def test_a_run_narrates_calls_prediction_and_answer() -> None:
    done = run("lab", "run", "two-listeners")
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("two-listeners: ")
    refused = lines.index("second: bind(3, 0.0.0.0:10013) = -1 EADDRINUSE")
    assert "predicted EADDRINUSE, kernel EADDRINUSE: agreed" in lines[refused:]
    assert any(line.startswith("blocked by LISTEN 0.0.0.0:10013 first(") for line in lines)
    assert lines[-2] == "passed: 4 steps, 3 of 3 predictions right"
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_run_as_json() -> None:
    document = read_document(run("lab", "run", "two-listeners", "--json").stdout, "lab-run")
    assert set(document) == {"schema", "kernel", "scenario", "steps", "passed", "skipped"}
    assert (document["schema"], document["scenario"]) == (2, "two-listeners")
    assert document["passed"] is True
    step = document["steps"][1]
    assert step["calls"][2] == {"who": "second", "text": "bind(3, 0.0.0.0:10013) = -1 EADDRINUSE"}
    assert {key: step[key] for key in ("predicted", "kernel", "agreed", "expected", "met")} == {
        "predicted": "EADDRINUSE",
        "kernel": "EADDRINUSE",
        "agreed": True,
        "expected": "EADDRINUSE",
        "met": True,
    }
    # Nothing was predicted of a kill, and nothing was answered: unknown is null.
    assert document["steps"][2]["predicted"] is document["steps"][2]["agreed"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lab"], "the following arguments are required: COMMAND; type sockwatch lab --help"),
        (["lab", "run"], "name one scenario, or --all; sockwatch lab list prints their names"),
        (["lab", "run", "two-listeners", "--all"], "name one scenario, or --all"),
        (["lab", "run", "x y"], "there is no scenario 'x y'; sockwatch lab list names them"),
        (["lab", "run", "--all", "--step"], "--step needs a terminal"),
        (["--readonly", "lab", "run", "--all"], "--readonly disables the lab"),
    ],
)
def test_a_wrong_command_line_gets_one_line(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr.startswith(f"sockwatch: {message}")
    assert done.stderr.count("\n") == 1


def test_readonly_by_the_environment() -> None:
    assert run("lab", "run", "--all", SOCKWATCH_READONLY="1").returncode == ExitCode.USAGE
    assert run("lab", "list", SOCKWATCH_READONLY="1").returncode == ExitCode.YES


def test_without_namespaces_it_says_what_to_type() -> None:
    done = subprocess.run(
        [*COMMAND, "lab", "run", "two-listeners"],
        capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: refuse("unshare"),
    )  # fmt: skip
    assert done.returncode == ExitCode.UNKNOWN
    assert done.stderr == (
        "sockwatch: no namespace for the sandbox: Operation not permitted; "
        "sockwatch lab run --on-host uses the host's loopback\n"
    )


def test_a_scenario_that_cannot_be_done_is_not_a_success() -> None:
    done = run("lab", "run", "many-addresses", "--on-host")
    assert done.returncode == ExitCode.UNKNOWN
    assert done.stdout.splitlines()[-2] == "skipped: it needs a network of its own"


@pytest.mark.parametrize(("keys", "steps"), [("\n\n\n\n", 4), ("\n\nq\n", 2)])
def test_step_asks_before_each_step(keys: str, steps: int, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    out = tmp_path / "out"
    with out.open("w") as file:
        process = subprocess.Popen(
            [*COMMAND, "lab", "run", "two-listeners", "--step"],
            stdin=theirs, stdout=file, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(theirs)
        os.write(ours, keys.encode())
        _, asked = process.communicate(timeout=60)
    os.close(ours)
    assert asked.decode().count("[Enter, or q] ") == min(steps + 1, 4)
    assert "next: start a server with SO_REUSEADDR  [Enter, or q] " in asked.decode()
    lines = out.read_text().splitlines()
    assert lines[-2].startswith(f"passed: {steps} steps")
    assert process.returncode == ExitCode.YES
