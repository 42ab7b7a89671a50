"""`sockwatch --version`: everything a bug report needs."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from sockwatch import __version__


def version_text() -> str:
    """One line for sockwatch and one for what it runs on."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("textual", "psutil", "pyroute2"))
    return (
        f"sockwatch {__version__}\n"
        f"Python {platform.python_version()}, {libraries}, Linux {os.uname().release}\n"
    )
