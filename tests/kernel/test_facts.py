from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sockwatch.kernel.facts import read_facts


@pytest.mark.parametrize("program", ["/opt/some where/sockwatch", "./sockwatch", "sockwatch"])
def test_own_command_is_the_program_that_runs(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.chdir("/opt")
    monkeypatch.setattr(sys, "argv", [program, "why", "80"])
    assert read_facts().own_command[0] in ("/opt/some where/sockwatch", "/opt/sockwatch")


@pytest.mark.parametrize("program", ["/opt/sockwatch/__main__.py", "-c", "", "/usr/bin/pytest"])
def test_own_command_of_a_module_or_a_library_names_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    assert read_facts().own_command == (sys.executable, "-I", "-m", "sockwatch")


def test_the_ancestors_are_those_that_proc_shows() -> None:
    found = read_facts().ancestors
    assert os.getppid() in found
    assert os.getpid() not in found
    above = {pid: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in found}
    assert all(int(fields[1]) in found | {0} for fields in above.values())
