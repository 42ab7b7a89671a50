"""`python -m sockwatch.kernel.bpf`: print every program that sockwatch loads, for review.

The programs are those for this kernel, by its BTF. Nothing is loaded; no privilege is needed.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from functools import partial

from sockwatch.kernel.bpf.assembler import Assembler
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.layout import Layout, read_layout
from sockwatch.kernel.bpf.listing import listing
from sockwatch.kernel.bpf.netns_file_program import netns_file_program
from sockwatch.kernel.bpf.netns_program import netns_program
from sockwatch.kernel.bpf.task_file_program import FileMaps, task_file_program
from sockwatch.kernel.bpf.task_program import task_program
from sockwatch.kernel.bpf.tcp_program import TcpMaps, tcp_program
from sockwatch.kernel.bpf.udp_program import udp_program
from sockwatch.kernel.failures.machines import this_machine
from sockwatch.kernel.failures.program import failure_program
from sockwatch.kernel.netns.found import MOST_NAMESPACES

# Stand for the fds of the maps.
OPTIONS, COUNTS, OWN_PORTS, CLIENT_PORTS, RING, LOST, BURSTS, NAMESPACES = range(1, 9)
MAPS = {
    OPTIONS: "options",
    COUNTS: "counts",
    OWN_PORTS: "own ports",
    CLIENT_PORTS: "client ports",
    RING: "ring",
    LOST: "lost",
    BURSTS: "bursts",
    NAMESPACES: "namespaces",
}
PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO; that of the reader when it is loaded


def programs(layout: Layout) -> Iterator[tuple[str, Assembler]]:
    """Where each is attached, and the program. Raises BpfUnavailable."""
    yield "iter/tcp", tcp_program(layout, TcpMaps(OPTIONS, COUNTS, OWN_PORTS, CLIENT_PORTS))
    yield "iter/udp", udp_program(layout, OPTIONS)
    for by_netns in (False, True):
        maps = FileMaps(OPTIONS, COUNTS, OWN_PORTS, by_netns=by_netns)
        yield "iter/task_file", task_file_program(layout, maps)
    yield "iter/task", task_program(layout)
    yield "iter/task", netns_program(layout, NAMESPACES, MOST_NAMESPACES)
    yield "iter/task_file", netns_file_program(layout, sockets=True)
    make = partial(failure_program, ring_fd=RING, lost_fd=LOST, bursts_fd=BURSTS)
    yield "raw_tracepoint/sys_exit", make(this_machine(), layout, pid_namespace=PID_NAMESPACE)


def main() -> int:
    """Print the programs; exit with 3 if this kernel has no usable BTF."""
    try:
        for attach_point, program in programs(read_layout()):
            print(f"{attach_point}: {len(program.source.code)} instructions")  # noqa: T201
            print("\n".join(listing(program.source, MAPS)), end="\n\n")  # noqa: T201
    except BpfUnavailable as error:
        print(f"sockwatch: {error}", file=sys.stderr)  # noqa: T201
        return 3
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # head(1) may close the pipe early
    sys.exit(main())
