"""The text of rules, from ``nft -a list ruleset``."""

from __future__ import annotations

import re
from typing import Final

from sockwatch.kernel.netfilter.nft_json import PLACE, place
from sockwatch.kernel.netfilter.rules import TEXT_LIMIT
from sockwatch.text import clean

_TABLE: Final = re.compile(r"table (\S+) (\S+) \{")
_CHAIN: Final = re.compile(r"\tchain (\S+) \{")
_RULE_END: Final = re.compile(r"(.*) # handle (\d+)")
_BASE: Final = "\t\ttype "


def rule_texts(listing: bytes) -> dict[str, str]:
    """The text of each rule by its place; nft(8) writes a long one in several lines."""
    texts: dict[str, str] = {}
    table = chain = None
    begun: list[str] = []
    for line in listing.decode("utf-8", "surrogateescape").split("\n"):
        if found := _TABLE.match(line):
            table, chain = found.groups(), None
        elif found := _CHAIN.match(line):
            chain, begun = found[1], []
        elif line == "\t}":
            chain = None
        elif table and chain and not line.startswith(_BASE):
            found = _RULE_END.fullmatch(line.strip())
            if len(begun) < TEXT_LIMIT:  # more lines than that are not shown
                begun.append(found[1] if found else line.strip())
            if found:
                family, name = table
                texts[place(family, name, chain, found[2])] = clean(
                    f"nft: table {family} {name}, chain {chain}: {' '.join(begun)}", TEXT_LIMIT
                )
                begun = []
    return texts


def is_place(text: str) -> bool:
    """Whether it is the place of a rule, and not its text."""
    return text.startswith(PLACE)
