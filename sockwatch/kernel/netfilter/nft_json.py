"""The NAT rules of nftables, from ``nft -j list ruleset``, libnftables-json(5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Final, NamedTuple

from sockwatch.kernel.netfilter import nft_values
from sockwatch.kernel.netfilter.nft_values import EXACT, Json, UnreadError, elements
from sockwatch.kernel.netfilter.rules import (
    FAMILIES,
    HOOKS,
    TEXT_LIMIT,
    Base,
    Effect,
    NatRule,
    Numbers,
)
from sockwatch.model import Destinations, Family, Target
from sockwatch.text import clean

TABLE_FAMILIES: Final[Mapping[str, frozenset[Family]]] = {
    "ip": frozenset({"ipv4"}),
    "ip6": frozenset({"ipv6"}),
    "inet": FAMILIES,
}
TARGETS: Final[Mapping[str, Target]] = {"dnat": "DNAT", "redirect": "REDIRECT"}
PLACE: Final = "nft: rule "
ENDS: Final = ("accept", "drop", "queue", "reject", "masquerade", "snat")
# Anybody may have a namespace whose rules compare with sets of sets without end.
MOST_COMPARED: Final = 50_000  # values, each time that a rule compares with them
WEIGHT_OF_RANGE: Final = 64  # of addresses, which is that of many networks
DAMAGED: Final = (AttributeError, IndexError, KeyError, TypeError, UnreadError, ValueError)


class NftRules(NamedTuple):
    """`with_xt` are the tables, as ``ip nat``, whose rules only iptables-save(8) shows in full.

    `unread` rules have a form that is not known here. The text of a rule is its place, as in
    nft_text.rule_texts().
    """

    bases: tuple[Base, ...]
    rules: tuple[NatRule, ...]
    with_xt: frozenset[str]
    unread: int

    def without(self, table: str) -> NftRules:
        """The same, but for the rules of a table."""
        return self._replace(
            bases=tuple(base for base in self.bases if base[0][0] != table),
            rules=tuple(rule for rule in self.rules if rule.chain[0] != table),
        )


class _Match(NamedTuple):
    """What a rule has matched so far."""

    families: frozenset[Family]
    protocols: frozenset[str] | None = None
    ports: tuple[Numbers, ...] = ()
    limits: tuple[Destinations, ...] = ()
    is_conditional: bool = False

    def on_protocols(self, names: frozenset[str]) -> _Match:
        """Match on the transport protocol too."""
        both = names if self.protocols is None else self.protocols & names
        return self._replace(protocols=both)

    def on_families(self, families: frozenset[Family]) -> _Match:
        """Match on the address family too."""
        return self._replace(families=self.families & families)


def parse(text: bytes) -> NftRules:
    """The rules in it. Raises ValueError if it is not what nft(8) prints."""
    try:
        entries = json.loads(text)["nftables"]
        parser = _Parser([entry for entry in entries if isinstance(entry, dict)])
    except (*DAMAGED, RecursionError) as error:
        raise ValueError("nft printed something else than a ruleset") from error
    rules = tuple(parser.rules())
    if parser.left < 0:
        raise ValueError(f"they compare with more than {MOST_COMPARED} values")
    return NftRules(tuple(parser.bases()), rules, frozenset(parser.with_xt), parser.unread)


class _Parser:
    def __init__(self, entries: Sequence[Json]) -> None:
        self._chains = [entry["chain"] for entry in entries if "chain" in entry]
        self._rules = [entry["rule"] for entry in entries if "rule" in entry]
        named = (entry.get("set") or entry.get("map") for entry in entries)
        self._sets = {
            (each["family"], each["table"], each["name"]): each.get("elem", [])
            for each in named
            if each
        }
        self._nat_tables = {_table(chain) for chain in self._chains if chain.get("type") == "nat"}
        self.with_xt: set[str] = set()
        self.unread = 0
        self.left = MOST_COMPARED

    def bases(self) -> Iterator[Base]:
        """The chains at the hooks where a destination can be changed."""
        for chain in self._chains:
            families = TABLE_FAMILIES.get(chain["family"])
            for hook in HOOKS:
                if families and (chain.get("type"), chain.get("hook")) == ("nat", hook):
                    yield (_table(chain), chain["name"]), hook, families

    def rules(self) -> Iterator[NatRule]:
        """Those of the tables that have such a chain."""
        for rule in self._rules:
            if _table(rule) not in self._nat_tables or rule["family"] not in TABLE_FAMILIES:
                continue
            if self.left < 0:
                return
            try:
                yield from [
                    NatRule(
                        (_table(rule), rule["chain"]),
                        effect,
                        place(rule["family"], rule["table"], rule["chain"], rule["handle"]),
                        *match,
                    )
                    for match, effect in self._read(rule)
                ]
            except (*DAMAGED, RecursionError):
                self.unread += 1

    def _read(self, rule: Json) -> Iterator[tuple[_Match, Effect]]:
        """What the rule matches, and what it does then; each element of a map is one more."""
        matches = [_Match(TABLE_FAMILIES[rule["family"]])]
        for statement in rule["expr"]:
            ((kind, body),) = statement.items()
            if kind == "xt":
                self.with_xt.add(_table(rule))
                matches = [match._replace(is_conditional=True) for match in matches]
            elif kind == "match":
                values = list(self._elements(rule, body["right"]))
                matches = [
                    each
                    for match in self._spend(matches, values)
                    for each in _narrowed(match, body["left"], body["op"], values)
                ]
            elif kind == "limit":
                matches = [match._replace(is_conditional=True) for match in matches]
            elif kind == "vmap":
                pairs = list(self._elements(rule, body["data"]))
                for match, (key, verdict) in product(self._spend(matches, pairs), pairs):
                    for each in _narrowed(match, body["key"], "==", [key]):
                        yield from _verdict(rule, each, verdict)
            elif kind in TARGETS:
                for match in matches:
                    yield from self._changed(rule, match, TARGETS[kind], body or {})
            else:
                for match in matches:
                    yield from _verdict(rule, match, statement)

    def _changed(
        self, rule: Json, match: _Match, target: Target, body: Json
    ) -> Iterator[tuple[_Match, Effect]]:
        family = TABLE_FAMILIES.get(body.get("family"), FAMILIES)
        match = match.on_families(family)
        address, port = body.get("addr"), body.get("port")
        mapped = next((each for each in (address, port) if nft_values.is_map(each)), None)
        if mapped is None:
            yield match, Effect(target, None, *nft_values.address_and_port(address, port))
            return

        def effect(value: Json) -> tuple[str | None, int | None]:
            place = (value, port) if mapped is address else (address, value)
            return nft_values.address_and_port(*place)

        pairs = list(self._elements(rule, mapped["map"]["data"]))
        self._spend([match], pairs)
        if _field(mapped["map"]["key"]) == "random":
            targets = {effect(value) for _, value in pairs}
            yield match, Effect(target, None, *_common(targets))
            return
        for key, value in pairs:
            for each in _narrowed(match, mapped["map"]["key"], "==", [key]):
                yield each, Effect(target, None, *effect(value))

    def _spend(self, matches: list[_Match], values: Iterable[Json]) -> list[_Match]:
        """The matches, each to be compared with all values. Raises UnreadError if too many are."""
        self.left -= len(matches) * sum(map(_weight, values))
        if self.left < 0:
            raise UnreadError
        return matches

    def _elements(self, rule: Json, values: Json) -> Iterator[Json]:
        if isinstance(values, str) and values.startswith("@"):
            values = self._sets[rule["family"], rule["table"], values[1:]]
        return elements(values)


def _weight(value: Json) -> int:
    """Of a value, a tuple of values, or a key and its value in a map."""
    if isinstance(value, list):
        return _weight(value[0])
    if not isinstance(value, dict):
        return 1
    if "range" in value and isinstance(value["range"][0], str):
        return WEIGHT_OF_RANGE
    return sum(map(_weight, value["concat"])) if "concat" in value else 1


def _common(targets: Iterable[tuple[str | None, int | None]]) -> tuple[str | None, int | None]:
    """The address and the port of all of them; None where they differ."""
    hosts, ports = map(set, zip(*targets, strict=True))
    return hosts.pop() if len(hosts) == 1 else None, ports.pop() if len(ports) == 1 else None


def _verdict(rule: Json, match: _Match, verdict: Json) -> Iterator[tuple[_Match, Effect]]:
    ((kind, body),) = verdict.items()
    if kind in ("jump", "goto"):
        yield match, Effect(kind, (_table(rule), body["target"]))
    elif kind == "return":
        yield match, Effect("return")
    elif kind in ENDS:
        yield match, Effect("stop")


def _narrowed(match: _Match, left: Json, operator: str, values: list[Json]) -> Iterator[_Match]:
    """The match, where it compares with one of the values too; one for each if they are tuples."""
    if not (isinstance(left, dict) and "concat" in left):
        yield _compared(match, left, operator, values)
        return
    if operator not in EXACT:
        raise UnreadError
    for value in values:
        each = match
        for field, part in zip(left["concat"], value["concat"], strict=True):
            each = _compared(each, field, "==", list(elements(part)))
        yield each


def _compared(match: _Match, left: Json, operator: str, values: list[Json]) -> _Match:
    is_exact = operator in EXACT
    payload = left.get("payload", {})
    protocol, field = payload.get("protocol"), payload.get("field")
    if protocol in ("ip", "ip6"):
        match = match.on_families(TABLE_FAMILIES[protocol])
    elif protocol in ("tcp", "udp"):
        match = match.on_protocols(frozenset({protocol}))
    # NAT rules see the first packet of a connection alone.
    if field == "dport" or left.get("ct", {}).get("key") == "proto-dst":
        return match._replace(ports=(*match.ports, nft_values.numbers(operator, values)))
    if field == "daddr" and protocol in ("ip", "ip6") and (is_exact or operator == "!="):
        limit = Destinations(nft_values.networks(values), left_out=not is_exact)
        return match._replace(limits=(*match.limits, limit))
    kind = _field(left)
    if kind == "protocol" and is_exact:
        return match.on_protocols(nft_values.protocols(values))
    if kind == "nfproto" and is_exact:
        return match.on_families(frozenset(name for name in FAMILIES if name in values))
    if kind == "type of destination" and is_exact and values == ["local"]:
        return match  # as are all that a socket here may get
    return match._replace(is_conditional=True)


def _field(left: Json) -> str | None:
    """What else is compared, by the name that it has here; None for what is not told apart."""
    payload, meta = left.get("payload", {}), left.get("meta", {})
    if meta.get("key") == "l4proto" or payload.get("field") in ("protocol", "nexthdr"):
        return "protocol"
    if meta.get("key") == "nfproto":
        return "nfproto"
    if left.get("fib", {}).get("result") == "type" and left["fib"].get("flags") == ["daddr"]:
        return "type of destination"
    return "random" if left.keys() & {"numgen", "jhash", "symhash"} else None


def _table(entry: Json) -> str:
    return f"{entry['family']} {entry['table']}"


def place(family: str, table: str, chain: str, handle: object) -> str:
    """Where a rule stands, as nft(8) wants it told."""
    return clean(f"{PLACE}{family} {table} {chain} handle {handle}", TEXT_LIMIT)
