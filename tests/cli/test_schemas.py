"""The JSON Schemas are schemas, complete in what they say, and strict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from sockwatch.bind import Outcome
from sockwatch.bind.model import Unknown
from sockwatch.cli.document import ports_document
from sockwatch.cli.table import Section
from sockwatch.lab.scenario import Need
from sockwatch.model import Port
from sockwatch.view.port_list import Selection
from tests.support import build
from tests.support.schemas import SCHEMAS, Document, read_document


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object within, the names of properties left out."""
    if isinstance(schema, list):
        for part in schema:
            yield from subschemas(part)
    elif isinstance(schema, dict):
        yield schema
        for key, part in schema.items():
            if key in ("properties", "$defs"):
                for inner in part.values():
                    yield from subschemas(inner)
            elif key not in ("enum", "const", "required"):
                yield from subschemas(part)


def test_each_document_has_one() -> None:
    assert set(SCHEMAS) == {f"{name}.json" for name in (*get_args(Document), "common")}


@pytest.mark.parametrize("name", SCHEMAS)
def test_they_are_strict_and_say_what_each_field_is(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    for schema in subschemas(SCHEMAS[name]):
        if "properties" in schema:
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])
        for field, value in schema.get("properties", {}).items():
            assert "$ref" in value or value["description"].endswith("."), field
            kinds = (*value.get("type", ()), *value.get("anyOf", ()))
            may_be_null = "null" in kinds or {"type": "null"} in kinds
            if may_be_null and field not in ("command", "user", "start_time"):
                assert "null" in value["description"], field


def test_they_know_every_word_of_the_code() -> None:
    assert set(SCHEMAS["common.json"]["$defs"]["outcome"]["enum"]) == set(get_args(Outcome))
    condition = SCHEMAS["common.json"]["$defs"]["condition"]["properties"]
    assert set(condition["unknown"]["enum"]) == set(get_args(Unknown))
    scenarios = SCHEMAS["lab-list.json"]["properties"]["scenarios"]["items"]["properties"]
    assert set(scenarios["needs"]["items"]["enum"]) == set(get_args(Need))


def section(ports: tuple[Port, ...]) -> Section:
    return Section(build.snapshot(ports), Selection(ports))


def test_made_up_ports_match() -> None:
    ports = build.web_host()
    document = read_document(ports_document(section(ports)), "ports")
    assert len(document["ports"]) == len(ports)


def test_what_the_schema_does_not_know_fails() -> None:
    document = json.loads(ports_document(section(())))
    with pytest.raises(AssertionError, match="surprise"):
        read_document(json.dumps(document | {"surprise": 1}), "ports")
