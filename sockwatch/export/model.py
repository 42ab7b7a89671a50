"""Families of metrics as frozen values."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter"]


class Metric(NamedTuple):
    """A metric that is exported. The names are an interface: they stay.

    A counter's `name` is written with its ``_total``. `labels` are on each of its samples, empty
    where there is nothing to say.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """A number, and the value of each label."""

    labels: tuple[str, ...]
    value: float


class Family(NamedTuple):
    """The samples of a metric; no two have the same labels. Unknown is a sample that is absent."""

    metric: Metric
    samples: tuple[Sample, ...]


class Health(NamedTuple):
    """How the looks go: how many there were, and failed; of the last, its length and its age.

    None where there is nothing to tell.
    """

    looks: int | None
    errors: int | None
    took_s: float | None
    age_s: float | None
