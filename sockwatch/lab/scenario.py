"""A scenario is data: what is claimed, what Linux does, and the steps that show it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal

from sockwatch.lab import scenarios
from sockwatch.lab.model import LabError
from sockwatch.lab.step import Step

Need = Literal["own network", "ipv6", "bound sockets"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`claim` is the sentence under test, `finding` what Linux makes of it.

    `ports` are those it binds. `needs` are its requirements: a network of its own (for settings,
    addresses or a wildcard that are out of place on the host), IPv6, or a kernel that shows bound
    sockets.
    """

    number: int
    name: str
    title: str
    claim: str
    finding: str
    steps: tuple[Step, ...]
    ports: tuple[int, ...]
    needs: tuple[Need, ...] = ()


def all_scenarios() -> tuple[Scenario, ...]:
    """All scenarios, by number: each module of `scenarios` defines one."""
    names = [module.name for module in iter_modules(scenarios.__path__)]
    modules = [import_module(f"{scenarios.__name__}.{name}") for name in names]
    return tuple(sorted((module.SCENARIO for module in modules), key=lambda s: s.number))


def scenario_named(name: str) -> Scenario:
    """The scenario of this name. Raises LabError if there is none."""
    for scenario in all_scenarios():
        if scenario.name == name:
            return scenario
    raise LabError(f"there is no scenario {name!r}; sockwatch lab list names them")
