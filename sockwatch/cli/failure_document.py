"""A failed call as one JSON line, schema 2: see schemas/failures.json."""

from __future__ import annotations

import json
from typing import Any

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.cli.document import (
    SCHEMA,
    blocker_entry,
    fix_entry,
    gap_entry,
    holder_entry,
    netns_entry,
    origin_entry,
)
from sockwatch.failure import Failure, UnixOwner
from sockwatch.model import Process


def failure_document(explained: ExplainedFailure) -> str:
    """The failure as one line with its line end."""
    failure, request = explained.failure, explained.request
    document = {
        "schema": SCHEMA,
        "time": round(failure.time, 6),
        "pid": failure.pid,
        "tid": failure.tid,
        "comm": failure.comm,
        "process": _process(failure),
        "uid": failure.uid,
        "unit": failure.process and _unit(failure.process),
        "origin": failure.process and origin_entry(failure.process.origin),
        "call": failure.call,
        "fd": failure.fd,
        "protocol": failure.protocol,
        "family": failure.family,
        "address": failure.address,
        "port": failure.port,
        "device": request and request.bound_device,
        "errno": failure.errno,
        "reuseaddr": failure.flags.reuseaddr,
        "reuseport": failure.flags.reuseport,
        "v6only": failure.v6only if failure.family == "ipv6" else None,
        "flags_source": failure.flags.source,
        "netns": explained.netns and netns_entry(explained.netns),
        "blockers": [
            *(blocker_entry(blocker, request) for blocker in explained.blockers if request),
            *(_unix_blocker(owner, failure) for owner in explained.unix_owners),
        ],
        "reason": explained.reason and explained.reason._asdict(),
        "cause": explained.cause and explained.cause._asdict(),
        "fixes": [fix_entry(fix) for fix in explained.fixes],
        "explained": explained.explained,
        "repeats": failure.repeats,
        "looked_after_s": explained.looked_after_s and round(explained.looked_after_s, 6),
        "gaps": [gap_entry(gap) for gap in explained.gaps],
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _process(failure: Failure) -> dict[str, Any] | None:
    process = failure.process
    return process and {
        "name": process.name,
        "command": process.command,
        "user": process.user,
        "start_time": round(process.start_time, 2),
        "parent_pid": process.parent_pid,
        "parent_name": failure.parent_name,
    }


def _unit(process: Process) -> str | None:
    container = process.container
    return process.unit if container is None else f"container:{container}"


def _unix_blocker(owner: UnixOwner, failure: Failure) -> dict[str, Any]:
    """With the keys of every other blocker."""
    return {
        "protocol": "unix",
        "address": failure.address,
        "port": None,
        "peer": None,
        "state": owner.state,
        "count": 1,
        "reuseaddr": None,
        "reuseport": None,
        "uid": None,
        "holders": [holder_entry(holder) for holder in owner.holders],
        "rule": {"id": "name-taken", "text": "The name of a unix socket can be bound only once."},
        "certain": True,
        "frees_in_s": None,
    }
