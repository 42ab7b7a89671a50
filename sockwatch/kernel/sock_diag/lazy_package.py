"""A package whose parts can be imported without all the others."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec


def run_lazily(name: str) -> None:
    """Let `name`'s own code run when a name of its is asked for, not when a part is imported.

    Does nothing where it is imported already, or missing.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    package, loader = module_from_spec(spec), spec.loader

    def part_or_run(attribute: str) -> object:
        if find_spec(f"{name}.{attribute}") is not None:
            return import_module(f"{name}.{attribute}")
        del package.__dict__["__getattr__"]
        loader.exec_module(package)
        return getattr(package, attribute)

    package.__dict__["__getattr__"] = part_or_run  # PEP 562
    sys.modules[name] = package
