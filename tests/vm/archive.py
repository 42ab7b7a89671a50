"""Archives of files at their own paths, as the kernel unpacks them: cpio(5), uncompressed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path


def archive(paths: Iterable[Path], target: Path, base: Path = Path("/")) -> None:
    """Write the files and folders, which are below `base`; what lies in a folder is not implied."""
    names = b"\0".join(os.fsencode(path.relative_to(base)) for path in paths if path != base)
    with open(target, "wb") as file:
        subprocess.run(
            ["busybox", "cpio", "-0", "-o", "-H", "newc"],
            input=names + b"\0", stdout=file, stderr=subprocess.DEVNULL, cwd=base, check=True,
        )  # fmt: skip


def with_parents(paths: Iterable[Path]) -> list[Path]:
    """The paths in an order in which they can be made, with the folders and links that lead there.

    A link on the way is followed, so that its target is among them.
    """
    found: dict[Path, bool] = {}
    for path in paths:
        _add(path, found)
    return list(found)


def _add(path: Path, found: dict[Path, bool]) -> None:
    """`found` tells of each whether it is a link."""
    at = Path("/")
    for number, part in enumerate(path.parts[1:], 2):
        at /= part
        if at not in found:
            found[at] = at.is_symlink()
        if found[at]:
            target = Path(os.path.normpath(at.parent / os.readlink(at)))
            _add(target.joinpath(*path.parts[number:]), found)
            return


def below(folder: Path, leave_out: Iterable[str] = ()) -> Iterator[Path]:
    """Every file and folder in it, but for those with such a name."""
    left_out = set(leave_out)
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in left_out]
        for name in (*folders, *files):
            if name not in left_out:
                yield Path(at, name)
