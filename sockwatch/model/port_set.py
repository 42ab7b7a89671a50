"""A set of port numbers as 65,536 bits, which is what the kernel's programs read and write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Self

SIZE: Final = 1 << 13  # bytes


@dataclass(frozen=True, slots=True)
class PortSet:
    """`bits` has a bit for each port, the lowest bit of the first byte for port 0."""

    bits: bytes = bytes(SIZE)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Self:
        """The set of these numbers."""
        bits = bytearray(SIZE)
        for number in numbers:
            bits[number >> 3] |= 1 << (number & 7)
        return cls(bytes(bits))

    def __contains__(self, number: int) -> bool:
        return self.bits[number >> 3] >> (number & 7) & 1 == 1

    def __iter__(self) -> Iterator[int]:
        for index, byte in enumerate(self.bits):
            if byte:
                yield from (index * 8 + bit for bit in range(8) if byte >> bit & 1)

    def __len__(self) -> int:
        return int.from_bytes(self.bits, "little").bit_count()


NO_PORTS: Final = PortSet()
EVERY_PORT: Final = PortSet(b"\xff" * SIZE)
