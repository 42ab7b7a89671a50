"""The base of the ids that appear in the JSON documents. REFERENCE.md lists them all."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Id(str, Enum):
    """An id that scripts may rely on, and one line on what it means; it prints as the id."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Make the value the id, and keep the meaning beside it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    __str__ = str.__str__
