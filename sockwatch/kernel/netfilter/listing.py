"""Every NAT rule of a network namespace, as the programs list them that make such rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from sockwatch.kernel.gaps import nat_gap
from sockwatch.kernel.netfilter import iptables_save, nft_json
from sockwatch.kernel.netfilter.nft_json import NftRules
from sockwatch.kernel.netfilter.rules import Base, NatRule, NatRules
from sockwatch.kernel.tools import MissingToolError, ToolError, run
from sockwatch.model import Family, Gap
from sockwatch.units import plural, verb

INSTALL: Final = "install it"
COMMANDS: Final[Mapping[Family, str]] = {"ipv4": "iptables", "ipv6": "ip6tables"}
# What iptables(8) keeps in nftables.
XT_TABLES: Final[Mapping[str, Family]] = {"ip nat": "ipv4", "ip6 nat": "ipv6"}
# It says so of a table in which nft(8) has made rules too, and shows none of it.
INCOMPATIBLE: Final = b"is incompatible, use 'nft' tool"


class Listing:
    """One reading of all rules; `until` is of time.monotonic()."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._bases: list[Base] = []
        self._rules: list[NatRule] = []
        self._gaps: list[Gap] = []

    @property
    def rules(self) -> NatRules:
        """What has been read."""
        return NatRules(self._bases, self._rules)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be read."""
        return tuple(self._gaps)

    def read_nftables(self, tables: Collection[str]) -> None:
        """Those of nft(8), and what iptables(8) keeps in these tables."""
        try:
            listed = nft_json.parse(run("nft", "-j", "list", "ruleset", until=self._until))
        except MissingToolError as error:
            self._read_without_nft(tables, str(error))
        except (ToolError, ValueError) as error:
            self._miss(f"{error}: NAT rules of nftables", None)
        else:
            self._count_unread("nftables", listed.unread)
            for table in listed.with_xt:
                if table in XT_TABLES and self._read_xt(table):
                    listed = listed.without(table)
                else:
                    self._miss(f"nft does not show all rules of table {table}", None)
            self._add(listed)

    def read_legacy(self, family: Family) -> None:
        """Those of the older iptables(8), which keeps them elsewhere."""
        self._read_iptables(f"{COMMANDS[family]}-legacy", family)

    def _read_without_nft(self, tables: Collection[str], why: str) -> None:
        unread = [table for table in tables if table not in XT_TABLES or not self._read_xt(table)]
        if unread:
            self._miss(f"{why}: NAT rules of nftables", INSTALL)

    def _read_xt(self, table: str) -> bool:
        """Whether iptables(8) shows the table of nftables; a gap says why it cannot be asked."""
        family = XT_TABLES[table]
        return self._read_iptables(f"{COMMANDS[family]}-nft", family)

    def _read_iptables(self, command: str, family: Family) -> bool:
        """One kind of iptables(8); on a host with one kind, the plain name is that."""
        try:
            try:
                saved = run(f"{command}-save", "-t", "nat", until=self._until)
            except MissingToolError:
                command = COMMANDS[family]
                saved = run(f"{command}-save", "-t", "nat", until=self._until)
        except ToolError as error:
            remedy = INSTALL if isinstance(error, MissingToolError) else None
            self._miss(f"{error}: NAT rules of {command}", remedy)
            return True
        rules = iptables_save.parse(saved, command, family)
        self._count_unread(command, rules.unread)
        self._add(rules)
        return INCOMPATIBLE not in saved

    def _add(self, read: NftRules | iptables_save.SavedRules) -> None:
        self._bases += read.bases
        self._rules += read.rules

    def _count_unread(self, whose: str, count: int) -> None:
        if count:
            rules = f"{plural(count, 'NAT rule')} of {whose}"
            self._miss(f"{rules} {verb(count, 'has')} a form that is not known here", None)

    def _miss(self, text: str, remedy: str | None) -> None:
        self._gaps.append(nat_gap(text, remedy))
