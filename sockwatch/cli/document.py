"""The JSON documents of ``ports`` and ``why``, schema 2.

See schemas/ports.json and why.json, namespaces.json for the ports of all namespaces, and
answers.json for several answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sockwatch.bind import BindRequest, Blocker, Fix, RestartVerdict, Verdict
from sockwatch.cli.table import Section
from sockwatch.model import ClientGroup, Gap, Holder, Netns, Origin, Port, Process, Snapshot, Socket
from sockwatch.view.also_in import AlsoIn
from sockwatch.view.answer import Answer
from sockwatch.view.page import Page
from sockwatch.view.sorting import Order, sort_ports

SCHEMA: Final = 2


def ports_document(section: Section) -> str:
    """The rows of a network namespace as one JSON document, one port a line."""
    snapshot, selected = section
    head = {
        "schema": SCHEMA,
        "host": snapshot.host,
        "kernel": snapshot.kernel,
        "time": round(snapshot.time, 3),
        "netns": netns_entry(snapshot.netns),
        "gaps": [gap_entry(gap) for gap in snapshot.gaps],
    }
    text = json.dumps(head, ensure_ascii=False)
    ports = sort_ports((*selected.ports, *selected.clients), Order())
    rows = _rows(_port(port) for port in ports)
    clients = _rows(_clients(group) for group in selected.groups)
    return f'{text[:-1]}, "ports": {rows}, "clients": {clients}}}\n'


def namespaces_document(sections: Iterable[Section], gaps: Iterable[Gap]) -> str:
    """The documents of all namespaces in one, and what was not seen of the host."""
    head = {"schema": SCHEMA, "gaps": [gap_entry(gap) for gap in gaps]}
    documents = ",\n".join(ports_document(section).rstrip() for section in sections)
    return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "namespaces": [\n{documents}\n]}}\n'


def _rows(entries: Iterable[dict[str, Any]]) -> str:
    """A JSON array, one entry a line."""
    rows = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    return f"[\n{rows}\n]"


def gap_entry(gap: Gap) -> dict[str, str | None]:
    """The JSON value of a gap."""
    return {"code": gap.code, "text": gap.text, "remedy": gap.remedy}


def _port(port: Port) -> dict[str, Any]:
    return {
        "protocol": port.protocol,
        "port": port.number,
        "states": dict(port.states),
        "time_wait": port.time_wait._asdict()
        | {
            "reuseaddr": port.time_wait.reuseaddr._asdict(),
            "reuseport": port.time_wait.reuseport._asdict(),
        },
        "orphans": port.orphans,
        "unaccepted": port.unaccepted,
        "half_open": port.half_open,
        "listeners": [listener_entry(sock) for sock in port.listeners],
        "bound": [_socket(sock) for sock in port.bound],
        "holders": [holder_entry(holder) for holder in port.holders],
    }


def _clients(group: ClientGroup) -> dict[str, Any]:
    return {
        "protocol": group.protocol,
        "family": group.family,
        "state": group.state,
        "address": group.address,
        "device": group.device,
        "peer": group.peer_address and {"address": group.peer_address, "port": group.peer_port},
        "count": group.count,
        "with_fd": group.with_fd,
        "lowest_port": group.lowest_port,
        "highest_port": group.highest_port,
        "uid": group.uid,
        "reuseaddr": group.flags.reuseaddr,
        "reuseport": group.flags.reuseport,
        "flags_source": group.flags.source,
        "last_frees_in_s": group.last_frees_in_s,
        "holders": [holder_entry(holder) for holder in group.holders],
    }


def _socket(sock: Socket) -> dict[str, Any]:
    return {
        "address": sock.address,
        "family": sock.family,
        "v6only": sock.v6only,
        "device": sock.device,
        "uid": sock.uid,
        "inode": sock.inode,
        "reuseaddr": sock.flags.reuseaddr,
        "reuseport": sock.flags.reuseport,
        "flags_source": sock.flags.source,
        "holders": [holder_entry(holder) for holder in sock.holders],
    }


def listener_entry(sock: Socket) -> dict[str, Any]:
    """The JSON value of a listener."""
    accepts = sock.protocol == "tcp"
    return _socket(sock) | {
        "queue": sock.queue if accepts else None,
        "backlog": sock.backlog if accepts else None,
        "drops": sock.drops,
    }


def holder_entry(holder: Holder) -> dict[str, Any]:
    """The JSON value of a holder; what is unknown of its process is null."""
    process = holder.process
    return {
        "pid": holder.pid,
        "fd": holder.fd,
        "name": process and process.name,
        "command": process and process.command,
        "user": process and process.user,
        "start_time": process and round(process.start_time, 2),
        "cwd": process and process.cwd,
        "parent": process and _parent(process),
        "unit": process and process.unit,
        "container": process and process.container,
        "origin": process and origin_entry(process.origin),
    }


def origin_entry(origin: Origin | None) -> dict[str, Any] | None:
    """The JSON value of what something belongs to."""
    return origin and origin._asdict() | {"outer": origin_entry(origin.outer)}


def netns_entry(netns: Netns) -> dict[str, Any]:
    """The JSON value of a network namespace."""
    return {
        "inode": netns.inode,
        "name": netns.name,
        "origin": origin_entry(netns.origin),
    }


def _parent(process: Process) -> dict[str, Any] | None:
    """None if it has no parent, or that was not read."""
    if not process.ancestors:
        return None
    parent = process.ancestors[0]
    return {"pid": parent.pid, "name": parent.name}


def page_document(
    page: Page, also_in: Sequence[AlsoIn] | None = None, gaps: Sequence[Gap] = ()
) -> dict[str, Any]:
    """The answer about a port as the values of one JSON document.

    `dual_stack` is the one for ``::`` beside 0.0.0.0, or for ``::1`` as localhost; `restart` that
    of the port's server, null without one. `also_in` are other namespaces in which the port is
    taken, None if none was looked into, and `gaps` what was not seen of them.
    """
    of_port = {
        "netns": netns_entry(page.snapshot.netns),
        "also_in": None if also_in is None else [_also_in(other) for other in also_in],
        "holders": [holder_entry(holder) for holder in page.port.holders] if page.port else [],
        "restart": page.restart and restart_entry(page.restart),
        **traffic_entries(page.request, page.snapshot),
    }
    also = page.also and {
        **_verdict(page.also, page.as_typed(page.also.verdict.fixes), page, gaps),
        **of_port,
        "dual_stack": None,
    }
    return {**_verdict(page.answer, page.fixes, page, gaps), **of_port, "dual_stack": also}


def _also_in(other: AlsoIn) -> dict[str, Any]:
    return {"netns": netns_entry(other.netns), "which": other.which}


def _verdict(
    answer: Answer, fixes: Iterable[Fix], page: Page, gaps: Iterable[Gap]
) -> dict[str, Any]:
    verdict = answer.verdict
    return {
        "schema": SCHEMA,
        "kernel": verdict.kernel,
        **verdict_entry(verdict),
        "matrix": [
            {
                "reuseaddr": reuseaddr,
                "reuseport": reuseport,
                "bind": choice.bind,
                "listen": choice.listen,
            }
            for (reuseaddr, reuseport), choice in answer.matrix.items()
        ],
        "fixes": [fix_entry(fix) for fix in fixes],
        "gaps": [gap_entry(gap) for gap in (*page.as_asked(verdict.gaps), *gaps)],
    }


def verdict_entry(verdict: Verdict) -> dict[str, Any]:
    """The JSON value of a verdict on a request, with its causes."""
    request = verdict.request
    return {
        "request": {
            name: getattr(request, name)
            for name in (
                "protocol",
                "address",
                "port",
                "reuseaddr",
                "reuseport",
                "v6only",
                "freebind",
                "uid",
                "device",
            )
        },
        "bind": verdict.bind,
        "listen": verdict.listen,
        "reason": verdict.reason and verdict.reason._asdict(),
        "blockers": [blocker_entry(blocker, request) for blocker in verdict.blockers],
        "conditions": [
            {"question": c.question, "unknown": c.unknown, "yes": c.yes, "no": c.no}
            for c in verdict.conditions
        ],
        "cause": verdict.cause and verdict.cause._asdict(),
        "frees_in_s": verdict.frees_in_s,
    }


def restart_entry(restart: RestartVerdict) -> dict[str, Any]:
    """The JSON value of what a restart would get."""
    return {
        "bind": restart.bind,
        "listen": restart.listen,
        "frees_in_s": restart.frees_in_s,
    }


def traffic_entries(request: BindRequest, snapshot: Snapshot) -> dict[str, Any]:
    """The JSON values of where the port's traffic goes: to containers, or by NAT rules."""
    return {
        "publications": [
            {
                "pid": publication.pid,
                "runtime": publication.runtime,
                "container": origin_entry(publication.container),
                "address": publication.address,
                "port": publication.port,
            }
            for publication in snapshot.publications
            if publication.protocol == request.protocol
        ],
        "redirects": [
            {
                "family": redirect.family,
                "target": redirect.target,
                "address": redirect.address,
                "port": redirect.port,
                "container": origin_entry(redirect.container),
                "hook": redirect.hook,
                "limits": [limit._asdict() for limit in redirect.limits],
                "is_conditional": redirect.is_conditional,
                "rule": redirect.rule,
            }
            for redirect in snapshot.redirects
            if redirect.protocol == request.protocol
        ],
    }


def pages_document(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The one document of page_document(), or all of several in one."""
    return documents[0] if len(documents) == 1 else {"schema": SCHEMA, "answers": documents}


def fix_entry(fix: Fix) -> dict[str, Any]:
    """The JSON value of a fix; `act` is what its command says already."""
    entry = fix._asdict()
    del entry["act"]
    return entry


def blocker_entry(blocker: Blocker, request: BindRequest) -> dict[str, Any]:
    """The JSON value of a blocker of `request`."""
    owner = blocker.owner
    peer = owner.peer_address if isinstance(owner, Socket) else None
    return {
        "protocol": request.protocol,
        "address": owner.address,
        "port": request.port,
        "peer": peer and {"address": peer, "port": getattr(owner, "peer_port", None)},
        "state": owner.state,
        "count": blocker.count,
        "reuseaddr": owner.flags.reuseaddr,
        "reuseport": owner.flags.reuseport,
        "uid": owner.uid,
        "holders": [holder_entry(holder) for holder in blocker.holders],
        "rule": blocker.rule._asdict(),
        "certain": blocker.certain,
        "frees_in_s": blocker.frees_in_s,
    }
