"""The JSON Schemas that ship, and what to validate with them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final, Literal

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

Document = Literal[
    "ports", "namespaces", "why", "answers", "wait", "failures", "lab-list", "lab-run",
    "lab-run-all", "run", "hold", "free", "snapshot",
]  # fmt: skip

_FOLDER: Final = resources.files("sockwatch.cli") / "schemas"
SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    file.name: json.loads(file.read_text()) for file in _FOLDER.iterdir()
}
_REGISTRY: Final[Registry[Any]] = Registry().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)


def read_document(text: str | bytes, document: Document) -> Any:
    """`text` as JSON; an assertion fails where it does not match the schema of the document."""
    value = json.loads(text)
    validator = Draft202012Validator(SCHEMAS[f"{document}.json"], registry=_REGISTRY)
    wrong = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not wrong, "\n".join(wrong)
    return value
