"""The number of a port, as it is typed digit by digit."""

from __future__ import annotations

from typing import Final

MAX_PORT: Final = 65535
MOMENT_S: Final = 1.5  # after which another digit begins another number


class TypedNumber:
    """`value` is the number typed so far; None between numbers."""

    def __init__(self) -> None:
        self.value: int | None = None

    def add(self, digit: int) -> int | None:
        """Add a digit and return the number. Where that is no port, the digit begins another one.

        None for a zero in front, which begins none.
        """
        number = (self.value or 0) * 10 + digit
        self.value = (number if number <= MAX_PORT else digit) or None
        return self.value

    def end(self) -> None:
        """The next digit begins a number."""
        self.value = None
