"""The terminal screens."""

from sockwatch.tui.options import Options
from sockwatch.tui.run import run

__all__ = ["Options", "run"]
