"""Root in a hostile directory: none of its modules and programs runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.privilege import needs_root
from tests.support.user import ROOT

pytestmark = needs_root

SCRIPT = "import sys; from sockwatch.cli import main; sys.exit(main())"  # what installers write
# What Python itself has imported before a program of its own begins; nothing of ours is in time.
BEFORE_US = "import sys; print(*sys.modules)"
LOADED = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from sockwatch.cli import main
sys.exit(main())
"""

AS_A_USER = """
import os, sys
os.seteuid(1)
before = [*sys.path, os.environ["PATH"]]
from sockwatch.cli.isolation import isolate
isolate()
print([*sys.path, os.environ["PATH"]] == before)
"""


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
        cwd=environment.pop("cwd", "/"), env=os.environ | environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a module of each name that an answer imports, which tells that it ran."""
    place = tmp_path_factory.mktemp("hostile")
    loaded = python("-c", LOADED, "why", "1", "--json").stderr.split()
    before = set(python("-c", BEFORE_US).stdout.split())
    names = {name.partition(".")[0] for name in loaded} - before - {"sockwatch", "__main__"}
    assert {"json", "pyroute2", "argparse", "typing", "__future__"} <= names
    names |= {"textual"}  # of other answers
    mark = f"import os\nos.close(os.open({str(place / 'ran')!r}, os.O_CREAT))\nraise SystemExit(77)"
    for name in names:
        (place / f"{name}.py").write_text(mark)
    return place


def check_harmless(done: subprocess.CompletedProcess[str], hostile: Path) -> None:
    assert '"request"' in done.stdout, done.stderr
    assert not (hostile / "ran").exists()


@pytest.mark.parametrize("named", [".", "{}", "/nonexistent:{}/", "{}/../{name}"])
def test_pythonpath(hostile: Path, named: str) -> None:
    path = named.format(hostile, name=hostile.name)
    done = python("-c", SCRIPT, "why", "1", "--json", cwd=str(hostile), PYTHONPATH=path)
    check_harmless(done, hostile)


def test_the_working_directory(hostile: Path) -> None:
    check_harmless(python("-c", SCRIPT, "why", "1", "--json", cwd=str(hostile)), hostile)


def test_the_working_directory_of_a_module(tmp_path: Path) -> None:
    """Python's own -m imports some modules of the working directory before any of ours."""
    for name in ("json", "argparse", "ipaddress"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)")
    done = python("-m", "sockwatch", "why", "1", "--json", cwd=str(tmp_path))
    assert '"request"' in done.stdout, done.stderr


def test_the_packages_of_a_user(tmp_path: Path) -> None:
    """Outside a virtual environment, they are in sys.path where PYTHONUSERBASE or HOME say."""
    interpreter = os.path.realpath(sys.executable)
    environment = os.environ | {"PYTHONUSERBASE": str(tmp_path)}
    ask = [interpreter, "-c", "import site; print(site.getusersitepackages())"]
    packages = Path(subprocess.check_output(ask, env=environment, text=True).strip())
    packages.mkdir(parents=True)
    (packages / "argparse.py").write_text("raise SystemExit(77)")
    script = f"import sys; sys.path.append({str(ROOT)!r}); {SCRIPT}"
    run = [interpreter, "-c", script, "why", "--help"]
    done = subprocess.run(run, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_sockwatch_came_from_stays(tmp_path: Path) -> None:
    (tmp_path / "sockwatch").symlink_to(ROOT / "sockwatch")
    for arguments in (("-c", SCRIPT), ("-m", "sockwatch")):
        done = python(*arguments, "why", "1", "--json", cwd=str(tmp_path), PYTHONPATH=str(tmp_path))
        assert '"request"' in done.stdout, done.stderr


def test_a_module_that_is_missing_then_is_one_sentence(tmp_path: Path) -> None:
    script = f"import sys; sys.modules['pyroute2'] = None; {SCRIPT}"
    done = python("-c", script, "why", "1", cwd=str(tmp_path))
    assert done.returncode == 3
    assert "bug" not in done.stderr
    assert "PYTHONPATH" in done.stderr


def test_programs_are_not_looked_for_in_path(tmp_path: Path) -> None:
    """The lab starts ss and cat, by name."""
    for name in ("ss", "cat", "uname", "ldconfig", "gcc"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n: >{shlex.quote(str(tmp_path / 'ran'))}\n")
        program.chmod(0o755)
    done = python(
        "-m", "sockwatch", "lab", "run", "leaked-listener",
        cwd=str(ROOT), PATH=f"{tmp_path}:{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_of_an_ordinary_user_nothing_is_changed() -> None:
    assert python("-c", AS_A_USER, PYTHONPATH="/tmp").stdout == "True\n"
