"""Families as the text that Prometheus reads, by its own library."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from sockwatch.export.model import Family, Sample
from sockwatch.export.model import Metric as Exported
from sockwatch.model import SockwatchError

try:
    from prometheus_client.exposition import choose_encoder, generate_latest
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise SockwatchError(
        "metrics need the Python package prometheus-client; type: pip install 'sockwatch[export]'"
    ) from error

_FAMILY: Final[dict[str, Callable[..., CounterMetricFamily | GaugeMetricFamily]]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}


MOST_FORMATS: Final = 8  # that are kept; clients choose them


class _Collected(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for (name, kind, text, labels), samples in self._families:
            made = _FAMILY[kind](name, text, labels=labels)
            for sample in samples:
                made.add_metric(sample.labels, sample.value)
            yield made


def text_of(families: Iterable[Family]) -> bytes:
    """The text format 0.0.4, which every reader knows; it ends with a newline."""
    return generate_latest(_Collected(families))


class Writer:
    """Writes look after look; a sample that was there before is not written anew.

    Any thread may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._formats: dict[str, _Format] = {}

    def negotiated(self, families: Iterable[Family], accept: str) -> tuple[str, bytes]:
        """The content type that the Accept header asks for, and the families in it."""
        encode, content_type = _encoder(accept)
        with self._lock:
            if content_type not in self._formats and len(self._formats) >= MOST_FORMATS:
                self._formats.clear()
            kept = self._formats.setdefault(content_type, _Format(encode))
            return content_type, kept.written(families)


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """What the header asks for; the usual one where the library stumbles over its version."""
    with suppress(TypeError, ValueError):
        if accept.isprintable():  # of it the content type has a part
            return choose_encoder(accept)
    return choose_encoder("")


class _Written(NamedTuple):
    """A family as text, and the line of each of its samples."""

    samples: tuple[Sample, ...]
    text: bytes
    lines: dict[Sample, bytes]


NOTHING: Final = _Written((), b"", {})


class _Format:
    """What was written in one format, by the library."""

    def __init__(self, encode: Callable[[Collector], bytes]) -> None:
        self._encode = encode
        self._end = encode(_Collected(()))
        self._written: dict[Exported, _Written] = {}

    def written(self, families: Iterable[Family]) -> bytes:
        return b"".join((*map(self._text, families), self._end))

    def _text(self, family: Family) -> bytes:
        before = self._written.get(family.metric, NOTHING)
        if before.samples == family.samples and before is not NOTHING:
            return before.text
        new = tuple(sample for sample in family.samples if sample not in before.lines)
        head, lines = self._encoded(Family(family.metric, new))
        known = before.lines | dict(zip(new, lines, strict=True))
        kept = {sample: known[sample] for sample in family.samples}
        text = b"".join((*head, *kept.values()))
        self._written[family.metric] = _Written(family.samples, text, kept)
        return text

    def _encoded(self, family: Family) -> tuple[list[bytes], list[bytes]]:
        """The lines of the head, and one for each sample: labels have no line ends."""
        text = self._encode(_Collected((family,))).removesuffix(self._end)
        lines = text.splitlines(keepends=True)
        return lines[: -len(family.samples) or None], lines[len(lines) - len(family.samples) :]
