"""`sockwatch lab` as a user meets it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from sockwatch.cli.exit_codes import ExitCode
from sockwatch.lab.scenario import all_scenarios
from sockwatch.view.fit import cell_width
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


CHINESE = {"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8", "PYTHONUTF8": "1"}


@pytest.mark.parametrize(
    "arguments", [["--lang", "zh", "lab", "list"], ["lab", "list", "--lang=zh"]]
)
def test_the_list_in_chinese_by_an_option(arguments: list[str]) -> None:
    done = run(*arguments, LC_ALL="C.UTF-8")
    assert done.returncode == ExitCode.YES
    assert [line.split()[0] for line in done.stdout.splitlines()] == NAMES
    assert "监听" in done.stdout


def test_the_locale_chooses_and_an_option_overrides_it() -> None:
    assert "监听" in run("lab", "list", **CHINESE).stdout
    assert run("lab", "list", "--lang", "en", **CHINESE).stdout == run("lab", "list").stdout
    assert "监听" not in run("lab", "list", **CHINESE | {"LC_ALL": "C.UTF-8"}).stdout


def test_a_run_in_chinese_fits_and_ends_as_in_english() -> None:
    done = run("lab", "run", "two-listeners", **CHINESE)
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "second: bind(3, 0.0.0.0:10013) = -1 EADDRINUSE" in lines
    assert "预测 EADDRINUSE，内核 EADDRINUSE：一致" in lines
    assert lines[-2] == "通过：4 步，3 个预测中 3 个正确"
    assert max(map(cell_width, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["list"], ["run", "two-listeners"]])
def test_json_is_the_same_in_every_language(arguments: list[str]) -> None:
    english = json.loads(run("lab", *arguments, "--json", LC_ALL="C.UTF-8").stdout)
    chinese = json.loads(run("lab", *arguments, "--json", "--lang", "zh").stdout)
    for document in (english, chinese):
        for step in document.get("steps", ()):
            del step["calls"]  # they have the pids of this run
    assert english == chinese


def test_refusals_stay_english() -> None:
    done = run("lab", "run", "nope", **CHINESE)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr == "sockwatch: there is no scenario 'nope'; sockwatch lab list names them\n"


def test_an_output_without_chinese() -> None:
    poor = CHINESE | {"PYTHONIOENCODING": "ascii"}
    assert run("lab", "list", **poor).stdout.isascii()
    done = run("lab", "list", "--lang", "zh", **poor)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr == "sockwatch: ascii has no Chinese; put LC_ALL=C.UTF-8 before the command\n"


def test_an_unknown_language() -> None:
    done = run("lab", "list", "--lang", "de")
    assert done.returncode == ExitCode.USAGE
    assert "--lang: invalid choice: 'de'" in done.stderr


def test_ascii_and_chinese_exclude_each_other() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--ascii", "--lang", "zh"], stdin=theirs, stdout=theirs,
        stderr=subprocess.PIPE, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    _, told = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == ExitCode.USAGE
    assert b"Chinese needs more characters than --ascii allows; leave that out, or type" in told
