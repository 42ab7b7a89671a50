"""One sample of the host -> Snapshot."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Final

from sockwatch.kernel import gaps as gap
from sockwatch.kernel import host, proc_net
from sockwatch.kernel.bpf.owners import counted_owners, options_of_minis
from sockwatch.kernel.bpf.reader import BpfReader, BpfSample
from sockwatch.kernel.descriptors import check_descriptors, too_few_descriptors
from sockwatch.kernel.facts import read_facts
from sockwatch.kernel.far_ends import with_far_ends
from sockwatch.kernel.held import HolderFinder, HoldersByInode, own_fd_sources
from sockwatch.kernel.kept_parts import KeptParts
from sockwatch.kernel.proc import reuse_flags
from sockwatch.kernel.sock_diag.owners import Known, owner_table
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.kernel.tables import Table, inodes, read_tables, tally_of
from sockwatch.kernel.visit import Visit
from sockwatch.model import (
    NO_PORTS,
    ClientGroup,
    Clients,
    HostFacts,
    KernelError,
    Port,
    PortSet,
    Protocol,
    Snapshot,
    SocketOptions,
)

if TYPE_CHECKING:
    from typing_extensions import Self

FACTS_MAX_AGE_S: Final = 3.0
# File descriptors that are open at the same time, at most, with some to spare.
FDS_OF_A_SAMPLE: Final = 12
FDS_WITH_BPF: Final = 24
READ_AGAIN: Final = 200  # connections whose flags each sample reads again, 50 us each


class SnapshotReader:
    """Takes snapshots of the network namespace of the calling thread.

    It keeps the BPF iterators open, and remembers processes and the flags of sockets. Use it from
    one thread; close() it, or use it as a context manager.
    """

    def __init__(self, bpf: BpfReader | None = None, holders: HolderFinder | None = None) -> None:
        """`bpf` and `holders` are those of a reader that shares what they read with others."""
        self._bpf = bpf = BpfReader() if bpf is None else bpf
        self._holders = holders or HolderFinder(
            own_fd_sources(lambda: bpf.servers_again(host.netns_inode()))
        )
        self._memory = reuse_flags.Memory()
        self._kept = KeptParts()
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

    def take(self, port: int | None = None, *, fold: bool = True) -> Snapshot:
        """A snapshot of every port, or of one port with each of its connections.

        Of one port, the holders have their cwd and ancestors too. With `fold` the client ports
        among all are counted by destination, where the kernel lets us tell which they are. Raises
        KernelError where neither sock_diag nor /proc/net can be read, or where too few file
        descriptors are left.
        """
        with without_gc():
            return self._take(port, fold=fold)

    def visit(self, visit: Visit) -> Snapshot:
        """A snapshot of every port of a namespace that is visited, without `facts`.

        Raises KernelError where sock_diag cannot be read.
        """
        with without_gc():
            return self._take(None, fold=True, visit=visit)

    def _take(self, port: int | None, *, fold: bool, visit: Visit | None = None) -> Snapshot:
        started, now = time.monotonic(), time.time()
        self._kept.renew()
        netns_inode = host.netns_inode()
        if visit is None:
            namespace = host.current_netns()
            check_descriptors(FDS_OF_A_SAMPLE)
            facts = self._host_facts(netns_inode)
            port_range = facts.port_range if fold else None
        else:
            namespace, facts, port_range = visit.netns, HostFacts(), visit.port_range
        is_folding = port is None and port_range is not None
        tables, sample = self._read_tables(netns_inode, port, port_range, visit)
        held = self._holders.find(tables.values(), sample, context=port is not None)
        options = self._options(tables.values(), held.by_inode, sample)
        counts = sample.counts if sample is not None else []
        counted = counted_owners(counts, held.counted, host.device_namer())
        minis = options_of_minis(counted.groups.get(port, ())) if port is not None else {}
        known = Known(options, held.by_inode, held.groups, minis)
        gaps = [gap.map_gap(sample.spilled)] if sample is not None and sample.spilled else []
        ports: list[Port] = []
        clients = counted.clients
        for protocol, table in tables.items():
            if isinstance(table, RowDecoder):
                owners = owner_table(table, known, self._kept.servers)
                clients += owners.clients
                if protocol == "tcp":
                    for number, groups in counted.groups.items():
                        owners.groups[number].extend(groups)
                    owners.half_open += counted.half_open
            else:
                identify = self._holders.names.identify
                owners, refused = proc_net.table(protocol, port, table, identify)
                gaps.append(refused)
            ports.extend(self._kept.ports.of(protocol, owners))
        if port is not None:
            ports = [with_far_ends(each) for each in ports]
        unattributed = sum(inode not in held.by_inode for inode in inodes(tables.values()))
        if port is None and (sample is not None or any(map(tally_of, tables.values()))):
            unattributed += _unheld(ports, clients)
        release = host.kernel_release()
        gaps.extend(gap.holder_gaps(held.unreadable, unattributed))
        gaps.extend(gap.stuck_gaps(self._holders.names.stuck))
        gaps.extend(gap.name_gaps(self._holders.names.unnamed))
        gaps.extend(gap.flag_gaps(ports, self._bpf.missing, self._bpf.remedy))
        gaps.extend(
            gap.bound_gaps(release, ports, by_fds=sample is not None and sample.holders is not None)
        )
        return Snapshot(
            host=host.host_name(),
            kernel=release,
            time=now,
            took_s=time.monotonic() - started,
            netns=namespace,
            ports=tuple(ports),
            gaps=tuple(gaps),
            only_port=port,
            facts=facts,
            clients=Clients(
                tuple(clients),
                _client_ports(tables.values(), sample),
                told_apart=is_folding and isinstance(tables["tcp"], RowDecoder),
            ),
            patch_level=host.patch_level(),
        )

    def _read_tables(
        self,
        netns_inode: int,
        port: int | None,
        fold: tuple[int, int] | None,
        visit: Visit | None,
    ) -> tuple[dict[Protocol, Table], BpfSample | None]:
        """With the BPF iterators, or without where they fail. Raises KernelError."""
        known, kept = self._memory.options, self._kept.rows
        try:
            if self._bpf.will_open and (few := too_few_descriptors(FDS_WITH_BPF)):
                raise few
            return read_tables(self._bpf, known, netns_inode, port, kept, fold=fold, visit=visit)
        except KernelError as error:
            # The dump left the connections to the iterators, so it is of no use either.
            self._bpf.miss(str(error))
            return read_tables(None, known, netns_inode, port, kept, fold=fold, visit=visit)

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


def _unheld(ports: Iterable[Port], clients: Iterable[ClientGroup]) -> int:
    """How many counted connections have an fd and no holder that was seen."""
    groups = chain.from_iterable(port.groups for port in ports if port.protocol == "tcp")
    unheld = sum(group.with_fd or 0 for group in groups if not group.holders)
    return unheld + sum(group.with_fd or 0 for group in clients if not group.holders)


def _client_ports(tables: Iterable[Table], sample: BpfSample | None) -> PortSet:
    """The ports of clients, as the iterators or else the dumps have told them."""
    for table in tables:
        if isinstance(table, RowDecoder) and table.clients is not None:
            return table.clients.ports
    return NO_PORTS if sample is None else sample.client_ports


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
