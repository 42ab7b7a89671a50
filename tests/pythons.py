"""Run tests on every supported Python that is here, each in a virtual environment of its own.

Run: .venv/bin/python -m tests.pythons [INTERPRETER ...] [-- PYTEST ARGUMENTS]
Without INTERPRETER, those of PATH and of pyenv; without PYTEST ARGUMENTS, some tests of each room.
Exits with 0 if all tests pass on each, 1 if not; a version that is not here is named.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sockwatch import toml

ROOT: Final = Path(__file__).parents[1]
PYENV: Final = Path.home() / ".pyenv" / "versions"
CLASSIFIER: Final = "Programming Language :: Python :: 3."
SAMPLE: Final = (
    "tests/test_errors.py", "tests/test_kept.py", "tests/test_reference.py", "tests/test_units.py",
    "tests/bind/test_verdict.py", "tests/cli/test_command.py", "tests/cli/test_config.py",
    "tests/cli/test_isolation.py", "tests/cli/test_schemas.py", "tests/kernel/bpf",
    "tests/kernel/test_snapshot.py", "tests/lab/test_scenarios.py", "tests/tui/test_screens.py",
    "tests/tui/test_terminal.py", "tests/view", "tests/watch/test_servers.py",
)  # fmt: skip
ASK: Final = "import sys; print(*sys.version_info[:3], sep='.')"
PASSED, FAILED = 0, 1


class Python(NamedTuple):
    """An interpreter, and its version as 3.12.1."""

    path: str
    version: str


def main(words: list[str]) -> int:
    split = words.index("--") if "--" in words else len(words)
    named, arguments = words[:split], words[split + 1 :] or list(SAMPLE)
    pythons = [_asked(path) for path in named] if named else list(found())
    results = [(python, _tested(python, arguments)) for python in pythons]
    for python, result in results:
        print(f"{python.version:8} {result}")
    if not named:
        here = {_minor(python.version) for python in pythons}
        print(
            *(f"3.{minor:<6} is not here" for minor in supported() if minor not in here), sep="\n"
        )
    return PASSED if all("failed" not in result for _, result in results) else FAILED


def supported() -> list[int]:
    """The minor versions that the classifiers in pyproject.toml name."""
    classifiers = toml.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    return [int(c.removeprefix(CLASSIFIER)) for c in classifiers if c.startswith(CLASSIFIER)]


def found() -> Iterator[Python]:
    """The first interpreter of each supported version."""
    for minor in supported():
        on_path = shutil.which(f"python3.{minor}")
        of_pyenv = sorted(PYENV.glob(f"3.{minor}.*/bin/python"), reverse=True)
        for path in (*map(str, of_pyenv), *([on_path] if on_path else ())):
            try:
                python = _asked(path)
            except (OSError, subprocess.CalledProcessError):  # a shim of pyenv that leads nowhere
                continue
            if _minor(python.version) == minor:
                yield python
                break


def _asked(path: str) -> Python:
    told = subprocess.check_output([path, "-c", ASK], text=True, stderr=subprocess.DEVNULL)
    return Python(path, told.strip())


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def _tested(python: Python, arguments: list[str]) -> str:
    """Run pytest in a new environment; its last line."""
    print(f"== Python {python.version}, {python.path}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sockwatch-python-") as folder:
        Path(folder).chmod(0o755)  # some tests act as another user
        subprocess.check_call([python.path, "-m", "venv", "--without-pip", folder])
        own = f"{folder}/bin/python"
        install = ["install", "-q", "-e", f"{ROOT}[dev]"]
        subprocess.check_call([sys.executable, "-m", "pip", "--python", own, *install])
        lines = []
        with subprocess.Popen(
            [own, "-m", "pytest", "-q", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as pytest:
            for line in pytest.stdout or ():
                print(line, end="", flush=True)
                lines.append(line)
        # What a failing run says last may be anything.
        said = re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]).strip(" =\n") if lines else "nothing"
        return said if pytest.returncode == 0 else f"failed ({pytest.returncode}): {said}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
