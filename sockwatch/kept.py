"""What was made in the last look, used again as long as it would be made of the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, ParamSpec, TypeVar

Parts = ParamSpec("Parts")
Made = TypeVar("Made")


class Kept(Generic[Parts, Made]):
    """Makes things of their parts; of equal parts the very object that it made before.

    It remembers by key, and only what was asked for since the last call of renew() but one. `make`
    must depend on nothing but the parts.
    """

    def __init__(self, make: Callable[Parts, Made]) -> None:
        self._make = make
        self._before: dict[Hashable, tuple[tuple[object, ...], Made]] = {}
        self._now: dict[Hashable, tuple[tuple[object, ...], Made]] = {}

    def __len__(self) -> int:
        return len(self._now)

    def renew(self) -> None:
        """Begin a look; what the last one did not ask for is dropped."""
        self._before, self._now = self._now, {}

    def of(self, key: Hashable, *parts: Parts.args, **named: Parts.kwargs) -> Made:
        """What is made of the parts; the key says what to compare them with.

        Raises TypeError for a part that is given by name.
        """
        if named:
            raise TypeError("parts are compared by position")
        found = self._before.get(key)
        if found is None or found[0] != parts:
            found = (parts, self._make(*parts, **named))
        self._now[key] = found
        return found[1]
