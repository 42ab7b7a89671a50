"""The options of the screens, from the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """`readonly` forbids whatever changes the host or starts a process: the lab."""

    interval_s: float = 1.0
    ascii: bool = False
    mouse: bool = True
    readonly: bool = False
    no_color: bool = False
    debug: bool = False
    watch_failures: bool = False
