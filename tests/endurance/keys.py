"""A user who never rests: keys by chance, the same for the same seed.

Not among them are those that leave the program, nor the lab, which starts servers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from tests.endurance import pace
from tests.endurance.display import Display

ESCAPE, ENTER, TAB = "\x1b", "\r", "\t"
PALETTE, HALF_UP, HALF_DOWN, REFRESH = "\x10", "\x15", "\x04", "\x0c"
UP, DOWN, PAGE_UP, PAGE_DOWN = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~"
HOME, END = "\x1b[H", "\x1b[F"
MOVES: Final = (
    *"jjjjkkgG", UP, DOWN, DOWN, PAGE_UP, PAGE_DOWN, PAGE_DOWN, HALF_UP, HALF_DOWN, HOME, END,
)  # fmt: skip
FILTERS: Final = (
    "port:10000-10019", "port:10007", "state:time_wait", "state:established", "process:python",
    "proto:udp", "flag:none", "!port:10003", "user:root", "127.1", "430", "port:x", "state:",
)  # fmt: skip
REQUESTS: Final = (" reuseaddr", " reuseport", " uid 1000", " nonsense")
PALETTE_WORDS: Final = ("sort", "follow", "details", "pa", "zzz")
# Keys, and the screen that has to come of them.
TOUR: Final = (
    (("j", ENTER), "details"), (("G", "g", "e"), "request"), ((ESCAPE,), "details"),
    ((ESCAPE,), "ports"), (("?",), "help"), (("G", "g", ESCAPE), "ports"), (("/",), "filter"),
    ((*"port:10", ENTER), "ports"), ((ESCAPE, "f"), "failures"), ((ESCAPE,), "ports"),
    ((PALETTE,), "palette"), ((*"sort", ESCAPE), "ports"), ((*"s<IIFFy", REFRESH, "p"), "paused"),
    (("p",), "ports"), (("a",), "each port"), (("a",), "folded"),
)  # fmt: skip
# What the header says of the table, and the key that ends it.
_ASPECTS: Final = (("PAUSED", "p"), ("all namespaces", "N"))
# A lone Escape is told from the first of a sequence by nothing coming after it.
REST_S: Final = {ESCAPE: 0.2}
KEYS_REST_S: Final = (0.02, 0.12)


def at_home(display: Display) -> bool:
    """Whether the table of ports is in front, and the keys go to it."""
    footer = display.lines[-1]
    return " a all" in footer and "failures" in footer


class Keys:
    """The keys of one user."""

    def __init__(self, seed: int, interval_s: float, *, host_wide: bool = True) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - keys, not secrets
        self._interval_s = interval_s
        self._failures, self._namespaces = "fN" if host_wide else "jj"
        self.pressed = 0

    def all_along(self, display: Display) -> Iterator[tuple[str, float]]:
        """Without an end."""
        while True:
            if not at_home(display) and self._chance.random() < 0.5:
                yield from self.typed((ESCAPE,))
            else:
                yield from self.typed(self._script(display))

    def to_help(self) -> Iterator[tuple[str, float]]:
        """Out of whatever is open, until the help opens; without an end."""
        while True:
            yield from self.typed((ESCAPE, "?"))

    def to_table(self, display: Display) -> Iterator[tuple[str, float]]:
        """From the help back to the table of all ports here, as it goes on; without an end."""
        while True:
            key = ESCAPE
            if at_home(display):
                key = next((key for word, key in _ASPECTS if word in display.lines[0]), ESCAPE)
            yield from self.typed((key,))

    def typed(self, keys: tuple[str, ...]) -> Iterator[tuple[str, float]]:
        """Each key, and the rest after it in seconds."""
        for key in keys:
            self.pressed += 1
            yield key, REST_S.get(key) or self._chance.uniform(*KEYS_REST_S)

    def _script(self, display: Display) -> tuple[str, ...]:
        chance = self._chance
        moves = tuple(chance.choices(MOVES, k=chance.randint(1, 8)))
        said = pace.shown(display.lines[0], 0.0)
        if said.word == "PAUSED":
            return (*moves, "p")
        if not said.word and said.promise_s != self._interval_s and at_home(display):
            return ("-" if said.promise_s > self._interval_s else "+",)
        last = chance.choice((ESCAPE, ENTER))
        typed_filter = ("/", *chance.choice(FILTERS), last)
        request = ("e", *chance.choice(REQUESTS), chance.choice((ESCAPE, ENTER)))
        return chance.choice(
            (
                moves,
                moves,
                moves,
                tuple(chance.choices("s<>I", k=3)),
                ("F",),
                ("y",),
                ("r",),
                ("p", *moves, "p"),
                ("a", *moves, "a"),
                (self._namespaces, *moves, ENTER, *moves, ESCAPE, self._namespaces),
                ("+", *moves, "-"),
                typed_filter,
                (*typed_filter, *moves, ESCAPE),
                (ENTER, *moves, "y", ESCAPE),
                (ENTER, *request, *moves, ESCAPE),
                (ENTER, "?", *moves, ESCAPE, *moves, ESCAPE),
                ("?", *moves, ESCAPE),
                (self._failures, *moves, "y", ESCAPE),
                (PALETTE, *chance.choice(PALETTE_WORDS), TAB, ESCAPE),
                ("l",),  # --readonly answers with a notice
            )
        )
