"""Families as the text that Prometheus reads, by its own library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from sockwatch.export.model import Family
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


def negotiated(families: Iterable[Family], accept: str) -> tuple[str, bytes]:
    """The content type that the Accept header asks for, and the families in it."""
    encode, content_type = choose_encoder(accept)
    return content_type, encode(_Collected(families))
