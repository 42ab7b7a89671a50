"""Each form is run where it claims to run, and where it has to say that it cannot."""

from __future__ import annotations

import json
import platform
import subprocess
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sockwatch import __version__
from tests.release.pyz import CARRIED_NAME, PYZ_NAME
from tests.release.roots import CARRIED_TO, NOBODY, PORT, Root, bare, debian
from tests.release.sources import oldest_python
from tests.tui.terminal import Program

PYZ: Final = f"{CARRIED_TO}/{PYZ_NAME}"
CARRIED: Final = f"{CARRIED_TO}/{CARRIED_NAME}/sockwatch"
SCENARIO: Final = "restart-plain"
SCRATCH: Final = "/var/tmp"
SHARED: Final = (
    "man/man1/sockwatch.1",
    "bash-completion/completions/sockwatch",
    "zsh/site-functions/_sockwatch",
    "fish/vendor_completions.d/sockwatch.fish",
)
NOT_OURS: Final = r"\( -path /proc -o -path /sys -o -path /carried \) -prune"
LEFT: Final = f"find / -xdev {NOT_OURS} -o -name '*sockwatch*' -print"
# What dpkg keeps of every package that there was.
STAYS: Final = ("/var/log/", "/var/lib/dpkg/")


class SmokeError(Exception):
    """It does not run where it should; says what went wrong."""


def smoke(folder: Path) -> Iterator[str]:
    """Run what is in the folder; a line for each form and place. Raises SmokeError, NoRootError."""
    yield from _smoke_wheel(folder)
    oldest = ".".join(map(str, oldest_python()))
    for release in ("bookworm", "trixie"):
        root = debian(release)
        yield _works("pyz", root, [PYZ], folder)
        where = {"read_only": True, "scratch": SCRATCH}
        yield _works("pyz", root, [PYZ], folder, **where, uid=NOBODY)
    nowhere = debian("bookworm").run([PYZ, "--version"], folder, read_only=True)
    yield _refuses("pyz", "bookworm, nowhere to unpack", nowhere, "cannot unpack itself")
    old = debian("bullseye")
    yield _refuses(
        "pyz", "bullseye", old.run([PYZ, "--version"], folder), f"needs Python {oldest} or newer"
    )
    for root in (old, bare()):
        yield _works("self-contained", root, [CARRIED], folder, read_only=True)
        yield _works("self-contained", root, [CARRIED], folder, read_only=True, uid=NOBODY)
    for release in ("bookworm", "trixie"):
        yield _smoke_deb(debian(release), folder)


def _smoke_wheel(folder: Path) -> Iterator[str]:
    (wheel,) = folder.glob("*.whl")
    with tempfile.TemporaryDirectory() as empty:
        venv.create(empty, with_pip=True)
        python = f"{empty}/bin/python"
        subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True, cwd="/")
        done = subprocess.run(
            [f"{empty}/bin/sockwatch", "--version"], check=True, capture_output=True, text=True
        )
        _check_version("wheel", done)
        for path in SHARED:
            if not Path(empty, "share", path).is_file():
                raise SmokeError(f"the wheel installs no share/{path}")
    yield f"wheel in an empty venv of Python {platform.python_version()}: works"


def _works(form: str, root: Root, program: Sequence[str], folder: Path, **where: Any) -> str:
    """Ask for the version, a port, the table, the screen; and a conflict, where it is root."""
    name = f"{form} in {root.name}"
    name += ", read-only, /tmp noexec" if where.get("read_only") else ""
    name += ", as an ordinary user" if where.get("uid") else ""
    _check_version(name, root.run([*program, "--version"], folder, **where))
    answer = root.run([*program, str(PORT), "--json"], folder, **where)
    _check(name, answer, 1)
    if json.loads(answer.stdout)["request"]["port"] != PORT:
        raise SmokeError(f"{name}: {answer.stdout}")
    table = root.run([*program, "ports", "--json"], folder, **where)
    _check(name, table, 0)
    if [port["port"] for port in json.loads(table.stdout)["ports"]] != [PORT]:
        raise SmokeError(f"{name}: {table.stdout}")
    if not where.get("uid"):
        _check(name, root.run([*program, "lab", "run", SCENARIO], folder, **where), 0)
    with root.command(program, folder, **where) as command, Program(command) as screen:
        screen.wait_for(str(PORT))
        screen.press("q")
        if code := screen.wait_exit():
            raise SmokeError(f"{name}: the screen exits with {code}")
    return f"{name}: works"


def _smoke_deb(root: Root, folder: Path) -> str:
    """Install it, use it, purge it, and look for what is left."""
    (package,) = folder.glob("*.deb")
    script = "\n".join(
        (
            f"dpkg -i {CARRIED_TO}/{package.name}",
            "sockwatch --version",
            f"sockwatch {PORT} || [ $? = 1 ]",
            f"sockwatch lab run {SCENARIO}",
            "dpkg --verify sockwatch",
            "test -n \"$(find /usr/lib/sockwatch -name 'why.*.pyc')\"",
            "dpkg --purge sockwatch",
            f"echo left; {LEFT}",
        )
    )
    name = f"deb in {root.name}"
    done = root.run(["sh", "-euc", script], folder)
    _check(name, done, 0)
    if "warning" in done.stderr:
        raise SmokeError(f"{name}: {done.stderr}")
    found = done.stdout.partition("\nleft\n")[2].split()
    left = [path for path in found if not path.startswith((CARRIED_TO, *STAYS))]
    if left:
        raise SmokeError(f"{name}: the purge leaves {', '.join(left)}")
    return f"{name}: installs, works, purges clean"


def _refuses(form: str, where: str, done: subprocess.CompletedProcess[str], reason: str) -> str:
    """That it says in a sentence why it cannot run."""
    name = f"{form} in {where}"
    _check(name, done, 3)
    if reason not in done.stderr or done.stderr.count("\n") != 1:
        raise SmokeError(f"{name}: {done.stderr}")
    return f"{name}: says that it cannot run: {done.stderr.strip()}"


def _check_version(name: str, done: subprocess.CompletedProcess[str]) -> None:
    _check(name, done, 0)
    if not done.stdout.startswith(f"sockwatch {__version__}\n"):
        raise SmokeError(f"{name}: {done.stdout}")


def _check(name: str, done: subprocess.CompletedProcess[str], code: int) -> None:
    if done.returncode != code:
        raise SmokeError(f"{name}: exits with {done.returncode}: {done.stdout}{done.stderr}")
