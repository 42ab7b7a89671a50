"""The JSON document of ``wait``, schema 2; see schemas/wait.json."""

from __future__ import annotations

from typing import Any

from sockwatch.act.listening import Found
from sockwatch.act.waiting import Standing, Verdicts
from sockwatch.bind.prospect import common_prospect
from sockwatch.cli.document import SCHEMA, gap_entry, listener_entry, netns_entry, verdict_entry
from sockwatch.cli.place import Place
from sockwatch.kernel import host
from sockwatch.view.outside import gap_from_outside


def free_document(
    standing: Standing, place: Place, waited_s: float | None, timeout_s: float | None
) -> dict[str, Any]:
    """How it ended to wait for requests; `timeout_s` is what was asked for."""
    ended = "timeout" if timeout_s is not None else "cannot-help"
    return {
        **_head(place, waited_s),
        "until": "free",
        "ended": "met" if standing.is_free else ended,
        "ports": [_requests(verdicts, place) for verdicts in standing.verdicts],
    }


def listening_document(
    found: tuple[Found, ...], place: Place, waited_s: float | None
) -> dict[str, Any]:
    """How it ended to wait for listeners."""
    return {
        **_head(place, waited_s),
        "until": "listening",
        "ended": "met" if all(one.accepting for one in found) else "timeout",
        "ports": [_listeners(one) for one in found],
    }


def _head(place: Place, waited_s: float | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kernel": host.kernel_release(),
        "netns": netns_entry(place.still_led_to() or host.current_netns()),
        "waited_s": round(waited_s or 0.0, 3),
    }


def _requests(verdicts: Verdicts, place: Place) -> dict[str, Any]:
    request = verdicts[0].request
    netns = place.netns
    gaps = dict.fromkeys(gap for verdict in verdicts for gap in verdict.gaps)
    return {
        "protocol": request.protocol,
        "port": request.port,
        "is_met": common_prospect(verdicts) == "free",
        "verdicts": [verdict_entry(verdict) for verdict in verdicts],
        "listeners": None,
        "gaps": [gap_entry(gap if netns is None else gap_from_outside(gap, netns)) for gap in gaps],
    }


def _listeners(found: Found) -> dict[str, Any]:
    return {
        "protocol": found.sought.protocol,
        "port": found.sought.port,
        "is_met": bool(found.accepting),
        "verdicts": None,
        "listeners": [listener_entry(sock) for sock in found.accepting],
        "gaps": [],
    }
