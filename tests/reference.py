"""Write sockwatch/REFERENCE.md, the ids and words that scripts may rely on, from where they stand.

Run: .venv/bin/python -m tests.reference
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Final

from sockwatch.act.model import EventKind, RefusalCode, StepKind
from sockwatch.bind import ephemeral, preconditions, rules
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.model import Rule
from sockwatch.cli.arguments import top_parser
from sockwatch.cli.dispatch import COMMANDS
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.settings import settings
from sockwatch.export.families import ExportGap
from sockwatch.export.metrics import METRICS
from sockwatch.model import STATES, FlagsSource, GapCode, Id

REFERENCE: Final = Path(__file__).parents[1] / "sockwatch" / "REFERENCE.md"
INTRODUCTION: Final = """# Reference

The ids in the JSON documents, the exit codes, the metrics, the names of states and the settings.
Each means the same in every release; new ones may be added. Written by `python -m tests.reference`.
"""

Row = tuple[str, str]


def reference() -> str:
    """Return what REFERENCE.md should say."""
    sections = (
        _section(
            "Causes",
            "`cause` of a verdict or a failure: why bind() or listen() fails, or may fail.",
            _ids(CauseId),
        ),
        _section(
            "Rules",
            "`rule` of a blocker: how the kernel decides whether its owner blocks a new socket.",
            _rules(rules),
        ),
        _section(
            "Preconditions",
            "`reason` of a verdict: why bind() fails before it tests an owner, or without one.",
            (*_rules(preconditions), *_rules(ephemeral)),
        ),
        _section("Gaps", "`code` of a gap: what could not be seen.", _ids(GapCode)),
        _section("Gaps of metrics", "`code` of `sockwatch_gap`, besides those.", _ids(ExportGap)),
        _section("Metrics", "Names and labels are an interface.", _metrics()),
        _section("flags_source", "How the reuse flags of a socket were learnt.", _ids(FlagsSource)),
        _section("Steps", "`kind` of a step of `free`: how it frees the port.", _ids(StepKind)),
        _section(
            "Refusals",
            "`code` of a refusal of `free`: why something in the way is let be.",
            _ids(RefusalCode),
        ),
        _section("Events", "`kind` of an event of `free`: what has happened.", _ids(EventKind)),
        _section("Exit codes", "Of every command.", _exit_codes()),
        _section("States", "`state` of a socket, and the keys of `states`.", STATES.items()),
        _section(
            "Settings",
            "Keys of config.toml, with the variable of each; `ports.all` is `all` in [ports].",
            _settings(),
        ),
    )
    return "\n".join((INTRODUCTION, *sections))


def rules_of(module: ModuleType) -> tuple[Rule, ...]:
    """Return the rules that are constants of the module, in its order."""
    return tuple(value for value in vars(module).values() if isinstance(value, Rule))


def _section(title: str, about: str, rows: Iterable[Row]) -> str:
    lines = [f"| `{name}` | {meaning} |" for name, meaning in rows]
    return "\n".join((f"## {title}", "", about, "", "| | meaning |", "|---|---|", *lines, ""))


def _ids(ids: type[Id]) -> Iterator[Row]:
    return ((member.value, member.meaning) for member in ids)


def _rules(module: ModuleType) -> Iterator[Row]:
    return ((rule.id, rule.text) for rule in rules_of(module))


def _metrics() -> Iterator[Row]:
    for metric in METRICS:
        labels = f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
        yield f"{metric.name}{labels}", metric.help


def _exit_codes() -> Iterator[Row]:
    meanings = docstrings_of(ExitCode)
    return ((str(code.value), meanings[code.name]) for code in ExitCode)


def _settings() -> Iterator[Row]:
    for setting in settings(top_parser(COMMANDS)):
        yield setting.key, f"`{setting.variable}`: {setting.action.help}"


def docstrings_of(enum: type[Enum]) -> dict[str, str]:
    """Return the string below each member of the enum, by the member's name."""
    (definition,) = ast.parse(inspect.getsource(enum)).body
    assert isinstance(definition, ast.ClassDef)
    result: dict[str, str] = {}
    for member, doc in zip(definition.body, definition.body[1:], strict=False):
        match member, doc:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                result[name] = text
    return result


if __name__ == "__main__":
    REFERENCE.write_text(reference())
