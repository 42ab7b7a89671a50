"""One sample of the host -> Snapshot."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Self

from sockwatch.kernel import gaps as gap
from sockwatch.kernel import host, proc_net
from sockwatch.kernel.bpf.reader import BpfReader, BpfSample
from sockwatch.kernel.facts import read_facts
from sockwatch.kernel.ports import HoldersByInode, ports_of
from sockwatch.kernel.proc import holders, reuse_flags
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.kernel.sock_diag.owners import owner_table
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.kernel.tables import Table, inodes, read_tables
from sockwatch.model import (
    Gap,
    Holder,
    HostFacts,
    KernelError,
    Port,
    Snapshot,
    SocketOptions,
)

FACTS_MAX_AGE_S: Final = 3.0
READ_AGAIN: Final = 200  # connections whose flags each sample reads again, 50 us each


class SnapshotReader:
    """Takes snapshots of the network namespace of the calling thread.

    It keeps the BPF iterators open, and remembers processes and the flags of sockets. Use it from
    one thread; close() it, or use it as a context manager.
    """

    def __init__(self) -> None:
        self._names = ProcessNames()
        self._memory = reuse_flags.Memory()
        self._bpf = BpfReader()
        self._leftovers = holders.Leftovers()
        self._facts = HostFacts()
        self._facts_of: tuple[int, float] | None = None  # network namespace, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is kept open in the kernel; take() opens it again."""
        self._bpf.close()

    @property
    def bpf_log(self) -> str:
        """The verifier's log if it refused one of our programs, else empty."""
        return self._bpf.log

    def forget_facts(self) -> None:
        """Make the next snapshot read addresses and sysctls again."""
        self._facts_of = None

    def take(self, port: int | None = None) -> Snapshot:
        """A snapshot of every port, or of one port with each of its connections.

        Raises KernelError where neither sock_diag nor /proc/net can be read.
        """
        with without_gc():
            return self._take(port)

    def _take(self, port: int | None) -> Snapshot:
        started, now = time.monotonic(), time.time()
        namespace = host.current_netns()
        gaps: list[Gap] = []
        try:
            decoders, sample = read_tables(self._bpf, self._memory.options, namespace.inode, port)
        except KernelError as error:
            # The dump left the TIME_WAITs to the iterators, so it is of no use either.
            self._bpf.miss(str(error))
            decoders, sample = read_tables(None, self._memory.options, namespace.inode, port)
        if sample is not None and sample.spilled:
            gaps.append(gap.map_gap(sample.spilled))
        by_inode, unreadable = self._holders(decoders.values(), sample)
        options = self._options(decoders.values(), by_inode, sample)
        ports: list[Port] = []
        for protocol, decoder in decoders.items():
            if isinstance(decoder, RowDecoder):
                table = owner_table(decoder, options)
                if sample is not None and protocol == "tcp":
                    for number, groups in sample.time_waits.items():
                        table.groups[number].extend(groups)
            else:
                table, refused = proc_net.table(protocol, port, decoder)
                gaps.append(refused)
            ports.extend(ports_of(protocol, table, by_inode, options, self._names.identify))
        unattributed = sum(inode not in by_inode for inode in inodes(decoders.values()))
        release = host.kernel_release()
        gaps.extend(gap.holder_gaps(unreadable, unattributed))
        gaps.extend(gap.stuck_gaps(self._names.stuck))
        gaps.extend(gap.flag_gaps(ports, self._bpf.missing, self._bpf.remedy))
        gaps.extend(gap.bound_gaps(release, ports))
        return Snapshot(
            host=host.host_name(),
            kernel=release,
            time=now,
            took_s=time.monotonic() - started,
            netns=namespace,
            ports=tuple(ports),
            gaps=tuple(gaps),
            only_port=port,
            facts=self._host_facts(namespace.inode),
        )

    def _host_facts(self, netns_inode: int) -> HostFacts:
        """The facts, read at most every FACTS_MAX_AGE_S: they take several milliseconds."""
        now = time.monotonic()
        if (
            self._facts_of is None
            or self._facts_of[0] != netns_inode
            or now - self._facts_of[1] > FACTS_MAX_AGE_S
        ):
            self._facts, self._facts_of = read_facts(), (netns_inode, now)
        return self._facts

    def _holders(
        self, decoders: Iterable[Table], sample: BpfSample | None
    ) -> tuple[HoldersByInode, int]:
        """Every holder of the sockets in the dumps by inode, and how many processes hid theirs."""
        wanted = set(inodes(decoders))
        if sample is not None and sample.holders is not None:
            by_inode = {inode: sample.holders[inode] for inode in wanted & sample.holders.keys()}
            rest, unreadable = self._leftovers.scan(wanted - by_inode.keys())
            by_inode |= rest
        else:
            by_inode, unreadable = holders.scan(wanted)
        pids = {holder.pid for entries in by_inode.values() for holder in entries}
        self._names.forget_others(pids)
        processes = self._names.identify_all(pids)
        identified = {}
        for inode, entries in by_inode.items():
            visible = tuple(
                Holder(entry.pid, entry.fd, process)
                for entry in entries
                if (process := processes.get(entry.pid)) is not None  # else it has exited since
            )
            if visible:
                identified[inode] = visible
        return identified, unreadable

    def _options(
        self,
        decoders: Iterable[Table],
        by_inode: HoldersByInode,
        sample: BpfSample | None,
    ) -> Mapping[int, SocketOptions]:
        """The options of sockets by cookie, each from the best source available."""
        dumps = [decoder for decoder in decoders if isinstance(decoder, RowDecoder)]
        options = dict(sample.options) if sample is not None else {}
        open_sockets = {
            sock.cookie: sock.inode for dump in dumps for sock in dump.sockets if sock.inode
        }
        if sample is not None:
            for cookie, inode in open_sockets.items():
                if cookie not in options and inode in sample.by_inode:
                    options[cookie] = sample.by_inode[inode]
        connections = {
            member.cookie: member.inode
            for dump in dumps
            for members in dump.members.values()
            for member in members
        }
        if sample is None:
            remembered = connections.keys() & self._memory.options.keys()
            remembered -= self._memory.oldest(remembered, READ_AGAIN)
            options |= {cookie: self._memory.options[cookie] for cookie in remembered}
        # Those of listeners are always read again: a program may set them at any time.
        missing = {
            cookie: inode
            for cookie, inode in (open_sockets | connections).items()
            if inode and cookie not in options
        }
        read = reuse_flags.read_options(missing.values(), by_inode)
        fresh = {cookie: read[inode] for cookie, inode in missing.items() if inode in read}
        for cookie in (open_sockets | connections).keys() - options.keys() - fresh.keys():
            if cookie in self._memory.options:
                options[cookie] = self._memory.options[cookie]
        self._memory.keep(fresh)
        recognised = {cookie for dump in dumps for cookie in dump.minis.recognised}
        self._memory.forget_others(open_sockets.keys() | connections.keys() | recognised)
        if sample is None:
            # The TIME_WAITs among the rows of one port are looked up here too.
            options |= {cookie: self._memory.options[cookie] for cookie in recognised}
        return options | fresh


def take_snapshot(port: int | None = None) -> Snapshot:
    """A snapshot of this network namespace; with `port`, of that port alone.

    Raises KernelError where the kernel lets no table be read.
    """
    with SnapshotReader() as reader:
        return reader.take(port)


@contextmanager
def without_gc() -> Iterator[None]:
    """Sampling makes 100,000s of objects and no cycles; the collector would take a third of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
