"""The language of filters: free text and ``key:value`` terms, joined by "and"; for any rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeAlias

from sockwatch.view.asked import (
    NO_SERVICES,
    Asked,
    NoPortError,
    Services,
    WrongPortError,
    is_service,
    parse_asked,
)
from sockwatch.view.column import Row

Test: TypeAlias = Callable[[Row], bool]

NEGATION_HELP = "a term with - or ! before it must not match"
_TERM = re.compile(r"\S+")
_KEYED = re.compile(r"([A-Za-z_]+):(?!:)(.*)")
_HOSTS = ("localhost", "tcp", "udp")  # words before a colon that are no key: localhost:3000


class FilterError(NamedTuple):
    """A wrong term: the span of the text that is wrong, what is wrong and what to type."""

    start: int
    end: int
    message: str


class WrongTermError(ValueError):
    """Its text says what is wrong with a term and what to type."""


@dataclass(frozen=True, slots=True)
class Filter(Generic[Row]):
    """A parsed filter. Wrong terms are in `errors` and take no part in `matches`.

    `number` is the only port number that can match; None if several can. `asked` is the port that
    the only term asks for; None if it can mean several. `keys` are those of the terms with a value,
    negated or not. `switches` are those without one, which are not tests: False for a negated one.
    """

    text: str = ""
    tests: tuple[Test[Row], ...] = ()
    errors: tuple[FilterError, ...] = ()
    number: int | None = None
    asked: Asked | None = None
    keys: frozenset[str] = frozenset()
    switches: Mapping[str, bool] = field(default_factory=dict)

    @property
    def is_set(self) -> bool:
        """Whether there is a term that is not wrong."""
        return bool(self.tests or self.switches)

    def matches(self, row: Row) -> bool:
        """Whether the row passes every term that is not wrong."""
        return all(test(row) for test in self.tests)


@dataclass(frozen=True, slots=True)
class Term(Generic[Row]):
    """A term: what it tests, which is None for a switch, and what else a Filter tells of it."""

    test: Test[Row] | None
    number: int | None = None
    asked: Asked | None = None
    key: str | None = None
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class TermHelp(Generic[Row]):
    """A term of the language: how it is read, what it does, and an example.

    `make` is None for ports, which are read as everywhere else, and for a switch: it takes no
    value.
    """

    make: Callable[[str], Test[Row]] | None
    help: str
    example: str
    is_switch: bool = False


@dataclass(frozen=True)
class FilterLanguage(Generic[Row]):
    """What can be asked of one kind of row.

    `texts` are what free text is searched in, `matches_port` says whether a row has a port.
    """

    terms: Mapping[str, TermHelp[Row]]
    texts: Callable[[Row], Iterable[str]]
    matches_port: Callable[[Asked, Row], bool]
    free_text_help: str

    def parse(
        self, text: str, services: Services = NO_SERVICES, *, exact: bool = False
    ) -> Filter[Row]:
        """Read `text`; never raises, what is wrong is in `Filter.errors`.

        A word that asks for a port finds that port and, as it may be half typed, what has the word
        in its text; with `exact`, the port alone. The name of a service may be that of a program
        too.
        """
        terms: list[Term[Row]] = []
        errors: list[FilterError] = []
        for word in _TERM.finditer(text):
            try:
                terms.append(self._term(word.group(), services, exact))
            except (WrongTermError, NoPortError) as error:
                errors.append(FilterError(word.start(), word.end(), str(error)))
        tests = [(term.key, term.test) for term in terms if term.test is not None]
        switches = {term.key: not term.is_negated for term in terms if term.key and not term.test}
        return Filter(
            text,
            tuple(test for _, test in tests),
            tuple(errors),
            number=next((term.number for term in terms if term.number is not None), None),
            asked=terms[0].asked if len(terms) == 1 else None,
            keys=frozenset(key for key, _ in tests if key),
            switches=switches,
        )

    def _term(self, term: str, services: Services, exact: bool) -> Term[Row]:
        if term[0] in "-!":
            if len(term) == 1:
                raise WrongTermError(f"{term} excludes the word after it: type {term}java")
            return _negated(self._term(term[1:], services, exact))
        keyed = _KEYED.fullmatch(term)
        if keyed is None or keyed.group(2).startswith("//"):
            return self._word(term, services, exact)
        key, value = keyed.group(1).casefold(), keyed.group(2)
        if key in _HOSTS:
            return self._word(term, services, exact)
        if key not in self.terms:
            terms = listed([f"{name}:" for name in self.terms])
            raise WrongTermError(f"{key}: is not a filter term: type {terms}")
        asked = self.terms[key]
        if asked.is_switch:
            if value:
                raise WrongTermError(f"{key}: takes no value: type {asked.example}")
            return Term(None, key=key)
        if not value.strip(","):
            raise WrongTermError(f"{key}: needs a value: type {asked.example}")
        make = asked.make
        if make is None:
            return self._ports(parse_asked(value, services))
        tests = [make(part.casefold()) for part in value.split(",") if part]
        test = tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)
        return Term(test, key=key)

    def _word(self, word: str, services: Services, exact: bool) -> Term[Row]:
        text = self._free_text(word.casefold())
        try:
            asked = parse_asked(word, services)
        except WrongPortError:
            if exact:
                raise
            return Term(text)
        except NoPortError:
            return Term(text)
        ports = self._is_one_of(asked)
        if exact and not is_service(word, services):
            return self._ports(asked)
        return Term(lambda row: ports(row) or text(row), asked=_only(asked))

    def _ports(self, asked: Sequence[Asked]) -> Term[Row]:
        numbers = {number for each in asked for number in (each.first, each.last)}
        number = numbers.pop() if len(numbers) == 1 else None
        return Term(self._is_one_of(asked), number, _only(asked))

    def _is_one_of(self, asked: Sequence[Asked]) -> Test[Row]:
        return lambda row: any(self.matches_port(each, row) for each in asked)

    def _free_text(self, needle: str) -> Test[Row]:
        return lambda row: any(needle in text.casefold() for text in self.texts(row))


def _negated(term: Term[Row]) -> Term[Row]:
    test = term.test
    if test is None:
        return replace(term, is_negated=not term.is_negated)
    return Term(lambda row: not test(row), key=term.key)


def _only(asked: Sequence[Asked]) -> Asked | None:
    """The port, if it is a single one that there can be."""
    one = asked[0]
    return one if len(asked) == 1 and one.first == one.last > 0 else None


def listed(words: Sequence[str]) -> str:
    """``port:, user: or proto:``."""
    return f"{', '.join(words[:-1])} or {words[-1]}"
