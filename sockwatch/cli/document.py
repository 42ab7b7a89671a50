"""The JSON documents of ``ports`` and ``why``, schema 1: see schemas/ports.json and why.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from sockwatch.bind import BindRequest, Blocker
from sockwatch.model import Gap, Holder, Port, Snapshot, Socket
from sockwatch.view.verdict import Answer

SCHEMA: Final = 1


def ports_document(snapshot: Snapshot, ports: Iterable[Port]) -> str:
    """`ports` of the snapshot as one JSON document, one port a line."""
    head = {
        "schema": SCHEMA,
        "host": snapshot.host,
        "kernel": snapshot.kernel,
        "time": round(snapshot.time, 3),
        "netns": {"inode": snapshot.netns.inode, "name": snapshot.netns.name},
        "gaps": [gap_entry(gap) for gap in snapshot.gaps],
    }
    rows = ",\n".join(json.dumps(_port(port), ensure_ascii=False) for port in ports)
    text = json.dumps(head, ensure_ascii=False)
    return f'{text[:-1]}, "ports": [\n{rows}\n]}}\n'


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
        "listeners": [_listener(sock) for sock in port.listeners],
        "bound": [_socket(sock) for sock in port.bound],
        "holders": [holder_entry(holder) for holder in port.holders],
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


def _listener(sock: Socket) -> dict[str, Any]:
    accepts = sock.protocol == "tcp"
    return _socket(sock) | {
        "queue": sock.queue if accepts else None,
        "backlog": sock.backlog if accepts else None,
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
    }


def verdict_document(answer: Answer) -> dict[str, Any]:
    """The verdict as the values of one JSON document."""
    verdict, request = answer.verdict, answer.verdict.request
    return {
        "schema": SCHEMA,
        "kernel": verdict.kernel,
        "request": {
            name: getattr(request, name)
            for name in (
                "protocol",
                "address",
                "port",
                "reuseaddr",
                "reuseport",
                "v6only",
                "uid",
                "device",
            )
        },
        "bind": verdict.bind,
        "listen": verdict.listen,
        "matrix": [
            {
                "reuseaddr": reuseaddr,
                "reuseport": reuseport,
                "bind": choice.bind,
                "listen": choice.listen,
            }
            for (reuseaddr, reuseport), choice in answer.matrix.items()
        ],
        "reason": verdict.reason and verdict.reason._asdict(),
        "blockers": [blocker_entry(blocker, request) for blocker in verdict.blockers],
        "conditions": [
            {"question": c.question, "unknown": c.unknown, "yes": c.yes, "no": c.no}
            for c in verdict.conditions
        ],
        "cause": verdict.cause and verdict.cause._asdict(),
        "fixes": [fix._asdict() for fix in verdict.fixes],
        "frees_in_s": verdict.frees_in_s,
        "gaps": [gap_entry(gap) for gap in verdict.gaps],
    }


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
