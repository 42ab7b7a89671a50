"""REFERENCE.md says what the code says, and the code uses no id that is not declared."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import sockwatch
from sockwatch.bind import ephemeral, preconditions, rules
from sockwatch.bind.cause_ids import CauseId
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.model import STATES, TCP_STATES, UDP_STATES, GapCode
from tests.reference import REFERENCE, docstrings_of, reference, rules_of

SOURCES = sorted(Path(sockwatch.__file__).parent.rglob("*.py"))
RULE_MODULES = {Path(module.__file__ or "") for module in (rules, preconditions, ephemeral)}


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Every call of a class by its name, in the package."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=called)) if called == name:
                    yield path, node


def test_it_is_what_the_code_says() -> None:
    assert REFERENCE.read_text() == reference(), "run python -m tests.reference"


@pytest.mark.parametrize(("name", "ids"), [("Gap", GapCode), ("Cause", CauseId)])
def test_each_gap_and_cause_is_made_with_a_declared_id(
    name: str, ids: type[GapCode | CauseId]
) -> None:
    made = list(calls(name))
    assert made
    for path, call in made:
        for literal in ast.walk(call.args[0]):
            wrong = isinstance(literal, ast.Constant) and isinstance(literal.value, str)
            assert not wrong, f"{path}:{call.lineno} does not use {ids.__name__}"


@pytest.mark.parametrize("ids", [GapCode, CauseId])
def test_each_declared_id_is_used(ids: type[GapCode | CauseId]) -> None:
    used = {
        node.attr
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == ids.__name__
    }
    assert used == set(ids.__members__)


def test_each_rule_is_a_constant_that_the_reference_lists() -> None:
    assert {path for path, _ in calls("Rule")} == RULE_MODULES
    listed = [rule.id for module in (rules, preconditions, ephemeral) for rule in rules_of(module)]
    assert len(listed) == len(list(calls("Rule")))
    assert max(Counter(listed).values()) == 1


def test_each_state_and_exit_code_has_a_meaning() -> None:
    assert set(STATES) == {*TCP_STATES.values(), *UDP_STATES.values()}
    assert set(docstrings_of(ExitCode)) == set(ExitCode.__members__)
