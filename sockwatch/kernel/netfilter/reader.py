"""The NAT rules of a network namespace that take the traffic of a port."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sockwatch.kernel import host
from sockwatch.kernel.gaps import nat_gap
from sockwatch.kernel.netfilter import chains
from sockwatch.kernel.tools import LIMIT_S, ToolError, run
from sockwatch.model import Family, Gap, KernelError, Protocol, Redirect

if TYPE_CHECKING:  # few hosts have such rules
    from sockwatch.kernel.netfilter.rules import NatRules

KEPT_S: Final = 10.0
READ_AS_ROOT: Final = "run as root to see them"


class RedirectReader:
    """Reads the rules at most every KEPT_S of each namespace. Use it from one thread."""

    def __init__(self) -> None:
        self._looks: dict[int, _Look] = {}  # by the number of the namespace

    def read(
        self, protocols: Iterable[Protocol], port: int
    ) -> tuple[tuple[Redirect, ...], tuple[Gap, ...]]:
        """The redirects of the port in this thread's namespace, and what could not be read.

        It waits for nft(8) and iptables-save(8), for LIMIT_S together, and as long for the text of
        what is found. Raises KernelError if /proc is not mounted.
        """
        look = self._look()
        try:
            return look.redirects(protocols, port), look.gaps
        except KernelError as error:
            return (), (*look.gaps, nat_gap(f"{error}: NAT rules", None))

    def redirected_ports(self) -> tuple[frozenset[tuple[Protocol, int]], tuple[Gap, ...]]:
        """The ports whose traffic rules take which name them, and what could not be read.

        It waits, and raises, as read() does.
        """
        look = self._look()
        try:
            return look.redirected_ports(), look.gaps
        except KernelError as error:
            return frozenset(), (*look.gaps, nat_gap(f"{error}: NAT rules", None))

    def _look(self) -> _Look:
        inode = host.netns_inode()
        if inode not in self._looks or time.monotonic() > self._looks[inode].until:
            self._looks[inode] = _Look()
        return self._looks[inode]


class _Look:
    """One look at all rules. `until` is of time.monotonic()."""

    def __init__(self) -> None:
        now = time.monotonic()
        self.until = now + KEPT_S
        self.gaps: tuple[Gap, ...] = ()
        self._rules: NatRules | None = None
        self._ports: frozenset[tuple[Protocol, int]] | None = None  # before they are asked for
        # of rules of nftables, by their place; None before they are asked for
        self._texts: dict[str, str] | None = None
        try:
            if chains.has_nat():
                self._read(chains.nat_tables(), chains.legacy_families(), now + LIMIT_S)
        except PermissionError:
            self.gaps = (nat_gap("no permission to read the NAT rules", READ_AS_ROOT),)
        except KernelError as error:
            self.gaps = (nat_gap(f"{error}: NAT rules", None),)

    def _read(self, tables: frozenset[str], legacy: frozenset[Family], until: float) -> None:
        if not tables and not legacy:
            return
        from sockwatch.kernel.netfilter.listing import Listing  # noqa: PLC0415 - as above

        listing = Listing(until)
        if tables:
            listing.read_nftables(tables)
        for family in legacy:
            listing.read_legacy(family)
        self._rules, self.gaps = listing.rules, listing.gaps

    def redirected_ports(self) -> frozenset[tuple[Protocol, int]]:
        """Those that the rules name. Raises KernelError if there are too many rules."""
        if self._rules is None:
            return frozenset()
        rules = self._rules
        if self._ports is None:
            self._ports = frozenset(each for each in rules.named_ports() if rules.redirects(*each))
        return self._ports

    def redirects(self, protocols: Iterable[Protocol], port: int) -> tuple[Redirect, ...]:
        """Those of the port. Raises KernelError if there are too many rules."""
        if self._rules is None:
            return ()
        found = [each for protocol in protocols for each in self._rules.redirects(protocol, port)]
        return self._with_texts(found)

    def _with_texts(self, found: Sequence[Redirect]) -> tuple[Redirect, ...]:
        """The same with the text of rules of nftables, whose JSON has none."""
        from sockwatch.kernel.netfilter.nft_text import is_place, rule_texts  # noqa: PLC0415

        if self._texts is None and any(is_place(redirect.rule) for redirect in found):
            self._texts = {}
            with suppress(ToolError):
                until = time.monotonic() + LIMIT_S
                self._texts = rule_texts(run("nft", "-a", "list", "ruleset", until=until))
        texts = self._texts or {}
        return tuple(each._replace(rule=texts.get(each.rule, each.rule)) for each in found)
