"""`sockwatch --version`: everything a bug report needs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from sockwatch import __version__
from sockwatch.text import clean

LIBRARIES: Final = ("textual", "psutil", "pyroute2", "rich")


def version_lines() -> Iterator[str]:
    """What this is, what it runs on and what is possible here, each as soon as it is known."""
    yield f"sockwatch {__version__}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield ", ".join((python.replace("CPython", "Python"), *map(_library, LIBRARIES)))
    from sockwatch.kernel.abilities import abilities
    from sockwatch.kernel.host import kernel_release, patch_level

    patch = patch_level()
    kernel = f"Linux {kernel_release()}" + (f" (upstream {patch})" if patch else "")
    yield f"{kernel}, {os.uname().machine}, uid {os.geteuid()}"
    for name, is_there, detail in abilities():
        answer = ("yes" if is_there else "no") + (f": {detail}" if detail else "")
        yield f"{name:20} {clean(answer)}"


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:  # installed without its metadata
        return f"{name} ?"
