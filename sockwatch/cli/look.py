"""The one look that a command takes."""

from __future__ import annotations

from sockwatch.cli.output import narrate
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Snapshot


def look(port: int | None, *, debug: bool) -> Snapshot:
    """A snapshot; `debug` narrates what the BPF verifier said. Raises KernelError."""
    with SnapshotReader() as reader:
        snapshot = reader.take(port)
        if debug and reader.bpf_log:
            narrate(f"the BPF verifier said:\n{reader.bpf_log}")
    return snapshot
