"""NAT rules, and which of them the packets for a port meet.

Packets are followed through the chains as nft(8) describes it: a rule that matches on nothing
but protocol, port and destination ends the way; one that matches on more may or may not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from sockwatch.model import PROTOCOLS, Destinations, Family, Hook, KernelError, Protocol, Redirect

FAMILIES: Final[frozenset[Family]] = frozenset(get_args(Family))
HOOKS: Final[frozenset[Hook]] = frozenset(get_args(Hook))
TEXT_LIMIT: Final = 300  # characters of a rule
MAX_PORT: Final = 65535
MOST_STEPS: Final = 100_000  # rules that are looked at for one port
MOST_FOUND: Final = 1000
MOST_NAMED: Final = 500
MOST_JUMPS: Final = 16  # NFT_JUMP_STACK_SIZE of include/net/netfilter/nf_tables.h

Chain: TypeAlias = tuple[str, str]  # table, name
Base: TypeAlias = tuple[Chain, Hook, frozenset[Family]]  # a chain at a hook


class Numbers(NamedTuple):
    """The ports in any of the ranges, both ends included; with `left_out`, all others."""

    ranges: tuple[tuple[int, int], ...]
    left_out: bool = False

    def __contains__(self, number: object) -> bool:
        """Whether it is one of them."""
        assert isinstance(number, int)
        return any(first <= number <= last for first, last in self.ranges) is not self.left_out


class Effect(NamedTuple):
    """What a rule does with a packet.

    ``stop`` ends the whole way, as accept does, ``return`` the way through this chain. `chain` is
    where a ``jump`` or ``goto`` leads. `port` None means another one out of several; 0 the same.
    """

    kind: Literal["DNAT", "REDIRECT", "jump", "goto", "return", "stop"]
    chain: Chain | None = None
    address: str | None = None
    port: int | None = None


class NatRule(NamedTuple):
    """A rule, reduced to what is asked here.

    `protocols` None means any, `ports` None means any; `is_conditional`: it matches on more. `text`
    is for people.
    """

    chain: Chain
    effect: Effect
    text: str
    families: frozenset[Family] = FAMILIES
    protocols: frozenset[str] | None = None
    ports: tuple[Numbers, ...] = ()
    limits: tuple[Destinations, ...] = ()
    is_conditional: bool = False

    def may_match(self, protocol: Protocol, port: int) -> bool:
        """Whether it matches some packets for the port."""
        if self.protocols is not None and protocol not in self.protocols:
            return False
        return all(port in numbers for numbers in self.ports)


class _Way(NamedTuple):
    """What is known of the packets that come to a rule.

    `rule` is the last one that named a port. `is_whole`: all packets of the hook come this way.
    """

    hook: Hook
    families: frozenset[Family]
    limits: tuple[Destinations, ...] = ()
    is_conditional: bool = False
    rule: NatRule | None = None
    is_whole: bool = True


class NatRules:
    """Rules by chain. `bases` are the chains at the hooks where a destination can be changed."""

    def __init__(self, bases: Iterable[Base], rules: Iterable[NatRule]) -> None:
        self.bases = tuple(bases)
        self.rules: dict[Chain, list[NatRule]] = defaultdict(list)
        for rule in rules:
            self.rules[rule.chain].append(rule)

    def redirects(self, protocol: Protocol, port: int) -> tuple[Redirect, ...]:
        """Those that packets for the port may meet, each once.

        Raises KernelError if the packets may go more ways than are followed.
        """
        found: dict[Redirect, None] = {}
        steps = 0
        for base, hook, families in self.bases:
            walk = _Walk(self.rules, protocol, port, steps)
            for redirect in walk.follow(base, _Way(hook, families)):
                found.setdefault(redirect)
                if len(found) > MOST_FOUND:
                    raise KernelError("more of them take the port's traffic than are shown", 0)
            steps = walk.steps
        return tuple(found)

    def named_ports(self) -> Iterator[tuple[Protocol, int]]:
        """The ports that rules name as those to be redirected, at most MOST_NAMED, each once."""
        numbers: dict[tuple[Protocol, int], None] = {}
        for rule in chain.from_iterable(self.rules.values()):
            for first, last in (pair for each in rule.ports[:1] for pair in each.ranges):
                for protocol in PROTOCOLS:
                    if rule.protocols is None or protocol in rule.protocols:
                        some = range(first, min(last, first + MOST_NAMED) + 1)
                        numbers.update(dict.fromkeys((protocol, number) for number in some))
        return islice(numbers, MOST_NAMED)


class _Walk:
    """Follows the packets for one port from one hook; `steps` counts on."""

    def __init__(
        self, rules: Mapping[Chain, Sequence[NatRule]], protocol: Protocol, port: int, steps: int
    ) -> None:
        self._rules = rules
        self._protocol: Protocol = protocol
        self._port = port
        self.steps = steps
        self._some_ended = False  # some packets end before the rules that are left
        self._all_ended = False

    def follow(self, chain: Chain, way: _Way, jumps: int = 0) -> Iterator[Redirect]:
        """The redirects that packets meet which come to this chain on that way."""
        some_returned = False
        for rule in self._rules.get(chain, ()):
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise KernelError("there are more ways through the rules than are followed", 0)
            if not rule.may_match(self._protocol, self._port) or not way.families & rule.families:
                continue
            matches_all = (
                not rule.is_conditional and not rule.limits and rule.families >= way.families
            )
            here = _Way(
                way.hook,
                way.families & rule.families,
                way.limits + rule.limits,
                way.is_conditional or rule.is_conditional or some_returned or self._some_ended,
                rule if rule.ports else way.rule,
                way.is_whole and matches_all and not some_returned,
            )
            kind, target = rule.effect.kind, rule.effect.chain
            if kind in ("jump", "goto"):
                if target is not None and jumps < MOST_JUMPS:
                    yield from self.follow(target, here, jumps + 1)
            elif kind == "return":
                some_returned = True
            else:
                if kind != "stop":
                    yield from self._changed(rule, here)
                self._some_ended |= kind == "stop" or here.is_conditional
                self._all_ended |= here.is_whole
            if self._all_ended or (matches_all and kind != "jump"):
                return

    def _changed(self, rule: NatRule, way: _Way) -> Iterator[Redirect]:
        effect = rule.effect
        assert effect.kind in ("DNAT", "REDIRECT")
        for family in sorted(way.families):
            yield Redirect(
                self._protocol,
                family,
                effect.kind,
                effect.address,
                self._port if effect.port == 0 else effect.port,
                way.hook,
                way.limits,
                way.is_conditional,
                (way.rule or rule).text,
            )
