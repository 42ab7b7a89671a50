"""Situations in which bind() does not take the address."""

from __future__ import annotations

from typing import Final

from sockwatch.bind.cause_ids import CauseId
from tests.stage import networks
from tests.stage.calls import Call
from tests.stage.networks import ADDRESS, LINK_LOCAL
from tests.stage.situation import ALLOWS, HAS_IPV6, SETS_UP, Situation, nothing

NOT_THERE = "EADDRNOTAVAIL"
ADDRESSES: Final = (
    Situation(CauseId.ADDRESS_NOT_LOCAL, nothing, Call("192.0.2.9"), ALLOWS, "ok"),
    Situation(CauseId.ADDRESS_TENTATIVE, networks.a_tentative_address, Call(ADDRESS), ALLOWS, "ok"),
    Situation(
        CauseId.ADDRESS_LINK_DOWN,
        networks.an_address_on_a_link_that_is_down,
        Call(ADDRESS),
        (*SETS_UP, *ALLOWS),
        "ok",
    ),
    Situation(
        CauseId.ADDRESS_LINK_DOWN,
        networks.an_address_without_a_carrier,
        Call(ADDRESS),
        ALLOWS,
        "ok",
    ),
    Situation(CauseId.ADDRESS_DUPLICATE, networks.a_duplicate, Call(ADDRESS), then=NOT_THERE),
    Situation(
        CauseId.ADDRESS_ROUTED,
        networks.a_route,
        Call("2001:db8:77::5"),
        (*SETS_UP, *ALLOWS),
        "ok",
    ),
    Situation(CauseId.ADDRESS_ROUTED, networks.a_closer_route, Call("198.51.100.5"), ALLOWS, "ok"),
    Situation(
        CauseId.ADDRESS_OTHER_DEVICE,
        networks.a_link_local_address,
        Call(f"{LINK_LOCAL}%v1"),
        then=NOT_THERE,
    ),
    Situation(
        CauseId.ADDRESS_LATE,
        nothing,
        Call(ADDRESS),
        ALLOWS,
        "ok",
        failures_only=True,
        meanwhile=networks.the_address_comes,
    ),
    Situation(CauseId.LOOPBACK_DOWN, networks.lo_is_down, Call("::1"), SETS_UP, "ok"),
    Situation(CauseId.IPV6_OFF, networks.no_ipv6_on_lo, Call("::1"), HAS_IPV6, "ok"),
    Situation(CauseId.NO_DEVICE, nothing, Call(f"{LINK_LOCAL}%99"), then="ENODEV"),
    Situation(CauseId.ZONE_MISSING, networks.a_link_local_address, Call(LINK_LOCAL), then="EINVAL"),
)
