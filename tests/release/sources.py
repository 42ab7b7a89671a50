"""The wheel, the source distribution, and the tree of packages that the other forms carry."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sockwatch import __version__, toml
from tests.release.packages import PACKAGE, runtime_packages

ROOT: Final = Path(__file__).parents[2]
PACKAGING: Final = ROOT / ".packaging"
MACHINE: Final = os.uname().machine
NAME: Final = f"sockwatch-{__version__}"
HIGHEST_MINOR: Final = 14
# What pip notes of an installation; it names the folder and the time of building.
NOTES: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


def oldest_python() -> tuple[int, int]:
    """The first version that sockwatch and each package carried with it can run on."""
    project = toml.loads((ROOT / "pyproject.toml").read_text())["project"]
    carried = (each.metadata["Requires-Python"] for each in runtime_packages(PACKAGE).values())
    needed = [SpecifierSet(text) for text in (project["requires-python"], *carried) if text]
    minors = range(HIGHEST_MINOR + 1)
    return 3, next(n for n in minors if all(f"3.{n}" in versions for versions in needed))


@functools.cache
def epoch() -> int:
    """The time of the sources, in seconds since 1970: what is built twice of them is equal.

    That of the commit, or in a source distribution that of its files; SOURCE_DATE_EPOCH overrides.
    """
    if told := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(told)
    command = ["git", "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.check_output(command, cwd=ROOT, stderr=subprocess.DEVNULL))
    except (OSError, subprocess.CalledProcessError):
        return int((ROOT / "pyproject.toml").stat().st_mtime)


def build_wheel_and_sdist(folder: Path) -> tuple[Path, Path]:
    """Build both into the folder; their paths."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch())}
    subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=subprocess.DEVNULL)
    return folder / f"{NAME}-py3-none-any.whl", folder / f"{NAME}.tar.gz"


def install_tree(wheel: Path, folder: Path) -> None:
    """Install the wheel and what it needs, for each Python that it supports, into the folder.

    The versions are those of the environment that this runs in: what is tested is what ships.
    """
    pins = [f"{each.name}=={each.version}" for each in runtime_packages(PACKAGE).values()]
    _pip("--only-binary", ":all:", "--target", str(folder), str(wheel), *pins)
    while missing := _missing(folder):
        _pip("--only-binary", ":all:", "--no-deps", "--target", str(folder), *missing)
    for folder_of_scripts in ("bin", "share"):
        shutil.rmtree(folder / folder_of_scripts, ignore_errors=True)
    for metadata in folder.glob("*.dist-info"):
        for name in NOTES:
            (metadata / name).unlink(missing_ok=True)


def unpack_shared_data(wheel: Path, folder: Path) -> None:
    """Put the wheel's ``share`` into the folder."""
    beginning = f"{NAME}.data/data/"
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(beginning):
                file = folder / name.removeprefix(beginning)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))


def files_of(folder: Path) -> Iterable[Path]:
    """Each file below the folder, in an order that does not depend on the file system."""
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def needed_glibc(folder: Path) -> tuple[int, int]:
    """The highest version of the C library's symbols that a compiled part asks for."""
    asked = set()
    for file in folder.rglob("*.so*"):
        asked |= set(re.findall(rb"\0GLIBC_(\d+)\.(\d+)", file.read_bytes()))
    return max((int(major), int(minor)) for major, minor in asked)


def _missing(folder: Path) -> list[str]:
    """What some supported Python needs of the packages in the folder and is not there."""
    there = list(distributions(path=[str(folder)]))
    names = {canonicalize_name(each.name) for each in there}
    minors = range(oldest_python()[1], HIGHEST_MINOR + 1)
    missing = set()
    for package in there:
        for text in package.requires or ():
            needed = Requirement(text)
            if canonicalize_name(needed.name) not in names and any(
                needed.marker is None or needed.marker.evaluate(_environment(minor))
                for minor in minors
            ):
                missing.add(f"{needed.name}{needed.specifier}")
    return sorted(missing)


def _environment(minor: int) -> dict[str, str]:
    return {"extra": "", "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"}


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--upgrade"]
    subprocess.run([*command, *arguments], check=True, cwd=ROOT)
