"""The JSON document of ``free``, schema 2. See schemas/free.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sockwatch.act.model import EndTarget, Event, Plan, Refusal, Step
from sockwatch.bind import Verdict
from sockwatch.cli.document import (
    SCHEMA,
    fix_entry,
    gap_entry,
    netns_entry,
    origin_entry,
    verdict_entry,
)
from sockwatch.model import Snapshot


def free_document(plan: Plan, snapshot: Snapshot, events: Sequence[Event]) -> str:
    """The plan, what was done of it, and the verdict after that as one JSON document.

    Without events, nothing was done.
    """
    after = next((event.verdict for event in reversed(events) if event.verdict), None)
    steps = [id(step) for step in plan.steps]
    document = {
        "schema": SCHEMA,
        "kernel": snapshot.kernel,
        "netns": netns_entry(snapshot.netns),
        "request": verdict_entry(plan.verdict)["request"],
        "before": _verdict(plan.main),
        "steps": [_step(step) for step in plan.steps],
        "refusals": [_refusal(refusal) for refusal in plan.refusals],
        "advice": [fix_entry(fix) for fix in plan.advice],
        "events": [_event(event, steps) for event in events],
        "after": after and _verdict(after),
        "gaps": [gap_entry(gap) for gap in plan.main.gaps],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "address": verdict.request.address,
        "bind": verdict.bind,
        "listen": verdict.listen,
        "cause": verdict.cause and verdict.cause._asdict(),
        "frees_in_s": verdict.frees_in_s,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "text": step.text,
        "command": step.command,
        "risk": step.risk,
        "subject": step.subject,
        "targets": [_target(target) for target in step.targets],
        "asks": step.asks,
        "by_sigkill": step.by_sigkill,
        "in_netns": step.in_netns,
    }


def _target(target: EndTarget) -> dict[str, Any]:
    process = target.process
    return {
        "pid": process.pid,
        "name": process.name,
        "command": process.command,
        "user": process.user,
        "start_time": round(process.start_time, 2),
        "unit": process.unit,
        "container": process.container,
        "origin": origin_entry(process.origin),
        "inherited": target.inherited,
        "stopped": target.stopped,
    }


def _refusal(refusal: Refusal) -> dict[str, Any]:
    process = refusal.process
    return {"code": refusal.code, "text": refusal.text, "pid": process and process.pid}


def _event(event: Event, steps: Sequence[int]) -> dict[str, Any]:
    index = steps.index(id(event.step)) if id(event.step) in steps else None
    return {"kind": event.kind, "text": event.text, "step": index}
