"""Programs of the system that some tests compare with or need."""

from __future__ import annotations

import shutil

import pytest


def need(tool: str) -> None:
    """Skip the test where the program is not installed."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
