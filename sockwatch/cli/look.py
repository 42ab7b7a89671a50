"""The snapshots that a command takes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from sockwatch.bind.halted import LONG_SLEEP_S
from sockwatch.cli.output import narrate
from sockwatch.cli.place import Place
from sockwatch.kernel.second_look import take_settled
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.kernel.surroundings import Surroundings
from sockwatch.model import Snapshot

VERIFIER_LOG = "the BPF verifier's log:"


def take_snapshot(port: int | None, place: Place, *, debug: bool, fold: bool = False) -> Snapshot:
    """A snapshot of all ports of the place or of `port` alone. Raises KernelError.

    With `fold`, client ports are counted by destination. `debug` shows the BPF verifier's log, if
    it refused a program. Where a holder of the one port is in an uninterruptible sleep, the
    snapshot is the second one, taken when a sleep of the usual kind is over.
    """
    (snapshot,) = take_snapshots((port,), place, debug=debug, fold=fold)
    return snapshot


def take_snapshots(
    ports: Iterable[int | None], place: Place, *, debug: bool, fold: bool = False
) -> Iterator[Snapshot]:
    """A snapshot as of take_snapshot() for each, taken when its turn comes. Raises KernelError."""
    surroundings = Surroundings()
    with SnapshotReader() as reader:
        for index, port in enumerate(ports):
            look = partial(_take, reader, surroundings, port, fold=fold)
            snapshot = place.take(look, port)
            _narrate_log(reader, debug=debug and index == 0)
            netns = place.still_led_to()
            yield snapshot if netns is None else replace(snapshot, netns=netns)


def _take(
    reader: SnapshotReader, surroundings: Surroundings, port: int | None, *, fold: bool
) -> Snapshot:
    if port is None:
        return reader.take(fold=fold)
    snapshot = take_settled(reader, port)
    if _sleeps(snapshot):
        time.sleep(LONG_SLEEP_S)
        snapshot = take_settled(reader, port)
    return surroundings.complete(snapshot)


def _narrate_log(reader: SnapshotReader, *, debug: bool) -> None:
    if debug and reader.bpf_log:
        narrate(VERIFIER_LOG, reader.bpf_log)


def _sleeps(snapshot: Snapshot) -> bool:
    return any(
        holder.process is not None and holder.process.sleeps_s is not None
        for port in snapshot.ports
        for holder in port.holders
    )
