"""What was made in the last look, used again as long as it would be made of the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, TypeVarTuple

Parts = TypeVarTuple("Parts")
Made = TypeVar("Made")


class Kept(Generic[*Parts, Made]):
    """Makes things of their parts; of equal parts the very object that it made before.

    It remembers by key, and only what was asked for since the last call of renew() but one. `make`
    must depend on nothing but the parts.
    """

    def __init__(self, make: Callable[[*Parts], Made]) -> None:
        self._make = make
        self._before: dict[Hashable, tuple[tuple[*Parts], Made]] = {}
        self._now: dict[Hashable, tuple[tuple[*Parts], Made]] = {}

    def __len__(self) -> int:
        return len(self._now)

    def renew(self) -> None:
        """Begin a look; what the last one did not ask for is dropped."""
        self._before, self._now = self._now, {}

    def of(self, key: Hashable, *parts: *Parts) -> Made:
        """What is made of the parts; the key says what to compare them with."""
        found = self._before.get(key)
        if found is None or found[0] != parts:
            found = (parts, self._make(*parts))
        self._now[key] = found
        return found[1]
