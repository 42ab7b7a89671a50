"""The lab's texts in another language; the English text is the key.

So a sentence that is changed has no translation until its translation is looked at again, and
tests/lab/test_languages.py tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from sockwatch.lab.languages import Language
from sockwatch.units import plural

LONGEST: Final = 500


class Translation:
    """What is not in `phrases` stays English.

    A phrase may have names in braces, for values. `answers` are what a run or a form says with
    values in it already; in their keys ``{}`` stands for a value.
    """

    def __init__(self, phrases: Mapping[str, str], answers: Mapping[str, str]) -> None:
        self._phrases = phrases
        self._answers = answers

    def __call__(self, text: str, /, **values: object) -> str:
        """The text, with the values in the places that its braces name."""
        said = self._phrases.get(text, text)
        return said.format(**values) if values else said

    def count(self, number: int, noun: str) -> str:
        """So many of what the English noun, in the singular, names: ``3 steps``."""
        said = self._phrases.get(f"{{}} {noun}s")
        return plural(number, noun) if said is None else said.format(number)

    def answer(self, text: str) -> str:
        """A text that has its values in it: ``2 ended``, ``it needs IPv6``.

        One of more than 500 characters has a long input in it, and stays English.
        """
        if len(text) > LONGEST:  # the time that patterns take grows with a power of the length
            return text
        for pattern, said in self._patterns:
            if found := pattern.fullmatch(text):
                return said.format(*map(self.answer, found.groups()))
        return text

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        return [
            (re.compile("(.+?)".join(map(re.escape, key.split("{}"))), re.DOTALL), said)
            for key, said in self._answers.items()
        ]


ENGLISH: Final = Translation({}, {})


def translation(language: Language) -> Translation:
    """The translation to the language, whose table is imported only here."""
    if language == "en":
        return ENGLISH
    from sockwatch.lab.languages.zh import ANSWERS, PHRASES  # noqa: PLC0415
    from sockwatch.lab.languages.zh_scenarios import SCENARIOS  # noqa: PLC0415

    return Translation(PHRASES | SCENARIOS, ANSWERS)
