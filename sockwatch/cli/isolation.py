"""Root runs no code of the working directory, nor of a folder that PYTHON* or PATH name.

This module imports only what Python has imported before any of ours.
"""

import os
import site
import sys

# Where programs are looked for; as sudo(8) has it, and the one of NixOS.
PROGRAM_FOLDERS = (
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"
)

_callers: dict[str, str | None] = {}


def isolate() -> None:
    """As root, let this process import as `python -I` does, and look for programs in fixed folders.

    The folder that sockwatch itself came from stays: who can write there has us anyway.
    """
    if os.geteuid() != 0:
        return
    _callers["PATH"] = os.environ.get("PATH")
    os.environ["PATH"] = PROGRAM_FOLDERS
    if not sys.flags.isolated:
        dropped = _foreign() - _own()
        sys.path[:] = [folder for folder in sys.path if _absolute(folder) not in dropped]
        sys.pycache_prefix = None


def callers_environment() -> dict[str, str]:
    """The environment for a program that the caller names, as it was before isolate()."""
    changed = {name: value for name, value in _callers.items() if value is not None}
    return {**os.environ, **changed}


def _foreign() -> set[str]:
    """What a variable, the working directory or the user's home may have put into sys.path."""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {_absolute(folder) for folder in ("", *named, site.USER_SITE or "")}


def _own() -> set[str]:
    library = os.path.dirname(os.__file__)
    sockwatch = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    folders = (library, f"{library}/lib-dynload", sockwatch, *site.getsitepackages())
    return {_absolute(folder) for folder in folders}


def _absolute(folder: str) -> str:
    try:
        return os.path.abspath(folder)
    except FileNotFoundError:  # the working directory has been removed
        return folder
