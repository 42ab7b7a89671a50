"""The manual page and the completions are in the wheel, know the whole parser, and work."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from sockwatch.cli.arguments import top_parser
from sockwatch.cli.dispatch import COMMANDS
from sockwatch.cli.settings import OTHER_VARIABLES, settings
from sockwatch.lab.scenario import all_scenarios
from tests.support.privilege import needs_root
from tests.support.tools import need
from tests.support.waiting import wait_until
from tests.tui.tmux import PAUSE_S, Tmux

ROOT: Final = Path(__file__).parents[1]
MANUAL: Final = "man/man1/sockwatch.1"
COMPLETIONS: Final = {
    "bash": "bash-completion/completions/sockwatch",
    "zsh": "zsh/site-functions/_sockwatch",
    "fish": "fish/vendor_completions.d/sockwatch.fish",
}
SECTIONS: Final = (
    "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "OPERANDS", "EXIT STATUS",
    "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO",
)  # fmt: skip
# How to start a shell that completes as on a host where the wheel's data are below {share}.
START: Final = {
    "bash": (
        ("bash", "--norc", "-i"),
        "PS1='$ '; XDG_DATA_DIRS={share}; source /usr/share/bash-completion/bash_completion",
    ),
    "zsh": (
        ("zsh", "-f", "-i"),
        "PS1='$ '; fpath=({share}/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D",
    ),
    "fish": (
        ("env", "XDG_DATA_DIRS={share}", "HOME={share}", "fish", "--private"),
        "function fish_prompt; echo '$ '; end",
    ),
}
# What is typed, before Tab is pressed twice, and what is then on the screen.
COMPLETED: Final = {
    "sockwatch fail": ("sockwatch failures",),
    "sockwatch why --reuse": ("--reuseaddr", "--reuseport"),
    "sockwatch 8080 --v6": ("sockwatch 8080 --v6only",),
    "sockwatch --theme d": ("sockwatch --theme dark",),
    "sockwatch lab run restart-pl": ("sockwatch lab run restart-plain",),
    "sockwatch why --device l": ("sockwatch why --device lo",),
    "sockwatch ports --netns ho": ("sockwatch ports --netns host",),
    "sockwatch http --v6": ("sockwatch http --v6only",),
    "sockwatch run --by seccomp -- a-serv": ("-- a-server-of-mine",),
    "sockwatch hold 8080 -- a-server-of-mine -- ./pypr": ("-- ./pyproject.toml",),
}


@pytest.fixture(scope="session")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``share`` of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (found,) = folder.glob("sockwatch-*.data/data/share")
    return found


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from parsers(command)


def options() -> dict[str, set[str]]:
    """The long options of each command, but for --help, which needs no manual."""
    return {
        parser.prog: {
            name
            for action in parser._actions
            for name in action.option_strings
            if name.startswith("--") and name != "--help" and action.help != argparse.SUPPRESS
        }
        for parser in parsers(top_parser(COMMANDS))
    }


def test_the_manual_page_has_every_command_and_option(share: Path) -> None:
    page = (share / MANUAL).read_text().replace("\\-", "-")
    assert tuple(re.findall(r"^\.SH (.+)$", page, re.MULTILINE))[:4] == SECTIONS[:4]
    headings = re.findall(r"^\.SH\s(.+)$", page, re.MULTILINE)
    assert [each for each in headings if each in SECTIONS] == list(SECTIONS)
    main, *commands = re.split(r"^\.SS ", page, flags=re.MULTILINE)
    sections = {command.partition("\n")[0].strip('"'): command for command in commands}
    sections = {re.sub(r"\\f.", "", name): text for name, text in sections.items()}
    for command, names in options().items():
        text = main if command == "sockwatch" else sections[command]
        assert names <= set(re.findall(r"^\\fB(--[a-z0-9-]+)", text, re.MULTILINE)), command


def test_the_manual_page_has_every_variable(share: Path) -> None:
    page = (share / MANUAL).read_text()
    of_others = set(OTHER_VARIABLES.values()) | {"LC_ALL", "LC_MESSAGES", "LANG"}
    named = {each.variable for each in settings(top_parser(COMMANDS))} | of_others
    _, environment = re.split(r"^\.SH\sENVIRONMENT$", page, flags=re.MULTILINE)
    environment = environment.partition("\n.SH")[0]
    words = set(re.findall(r"[A-Z0-9_]{4,}", environment))
    assert named <= words


def test_mandoc_finds_no_fault_with_the_page(share: Path) -> None:
    need("mandoc")
    command = ["mandoc", "-T", "lint", "-W", "style", str(share / MANUAL)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_a_completion_has_every_option_and_scenario(share: Path, shell: str) -> None:
    script = (share / COMPLETIONS[shell]).read_text()
    words = set(re.findall(r"[a-z0-9-]+", script.replace("-l ", "--")))
    for command, names in options().items():
        assert names <= words, command
        assert set(command.split()[1:]) <= words
    assert {scenario.name for scenario in all_scenarios()} <= words


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_the_shell_completes(
    share: Path, shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("tmux")
    need(shell)
    if shell == "bash" and not Path("/usr/share/bash-completion/bash_completion").exists():
        pytest.skip("bash-completion is not installed")
    for name in ("sockwatch", "a-server-of-mine"):  # only commands that there are are completed
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    words, first_line = START[shell]
    program = tuple(word.format(share=share) for word in words)
    with Tmux(tmp_path, size=(120, 24), program=program) as terminal:
        terminal.press(f"{first_line.format(share=share)}; echo rea''dy", "Enter")
        terminal.wait_for("ready")
        for line, shown in COMPLETED.items():
            terminal.press(line, "Tab", "Tab")
            terminal.wait_for(*shown)
            terminal.press("C-u", "C-l")
            wait_until(lambda: "sockwatch" not in terminal.screen, lambda: terminal.screen, PAUSE_S)


@needs_root
def test_bash_runs_no_name_that_it_completes(share: Path, tmp_path: Path) -> None:
    """Whoever makes an interface or a namespace chooses its name."""
    script = "\n".join(
        (
            f"source {share / COMPLETIONS['bash']}",
            "mount -t sysfs none /sys; mount -t tmpfs none /run; mkdir /run/netns",
            "ip link add '$(>run)' type veth peer name peer",
            "touch '/run/netns/$(>run)' /run/netns/blue",
            "_sockwatch_devices ''; _sockwatch_netns ''",
        )
    )
    done = subprocess.run(
        ["unshare", "--net", "--mount", "bash", "--norc", "-ec", script],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["lo", "peer", "host", "blue"]
    assert not list(tmp_path.iterdir())
