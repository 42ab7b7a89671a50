"""The one snapshot that a command takes."""

from __future__ import annotations

from sockwatch.cli.output import narrate
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Snapshot

VERIFIER_LOG = "the BPF verifier's log:"


def take_snapshot(port: int | None, *, debug: bool) -> Snapshot:
    """A snapshot of all ports or of `port` alone. Raises KernelError.

    `debug` shows the BPF verifier's log, if it refused a program.
    """
    with SnapshotReader() as reader:
        snapshot = reader.take(port)
        if debug and reader.bpf_log:
            narrate(VERIFIER_LOG, reader.bpf_log)
    return snapshot
