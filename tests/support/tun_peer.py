"""A TCP peer made by hand on a tun device, so that a socket can be put into any state.

The kernel under test has 10.9.0.1 on the device; the peer speaks as 10.9.0.2 and answers only
what a test tells it to.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
KERNEL, PEER = "10.9.0.1", "10.9.0.2"
PATIENCE_MS = 5000


@contextmanager
def tun_network() -> Iterator[TunNetwork]:
    """The device, with its address, up."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"peer", IFF_TUN_NO_PI))
        subprocess.run(["ip", "addr", "add", f"{KERNEL}/24", "dev", "peer"], check=True)
        subprocess.run(["ip", "link", "set", "peer", "up"], check=True)
        yield TunNetwork(fd)
    finally:
        os.close(fd)


@dataclass
class TunNetwork:
    """The far side of the device."""

    fd: int

    def receive(self, peer_port: int) -> tuple[int, int, int]:
        """(flags, seq, ack) of the next TCP segment that the kernel sends to the peer's port."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while poll.poll(PATIENCE_MS):
            packet = os.read(self.fd, 2048)
            if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
                continue
            segment = packet[(packet[0] & 15) * 4 :]
            _, destination, seq, ack, _, flags = struct.unpack_from("!HHIIBB", segment)
            if destination == peer_port:
                return flags, seq, ack
        raise TimeoutError("the kernel sent nothing to the peer")

    def open(self, port: int, peer_port: int, data: bytes = b"") -> PeerConnection:
        """A connection of which the peer has sent the SYN, with data perhaps, and no more."""
        connection = PeerConnection(self, port, peer_port, 1000)
        connection.send(SYN, data)
        return connection

    def connect(self, port: int, peer_port: int) -> PeerConnection:
        """An established connection."""
        connection = self.open(port, peer_port)
        connection.seq += 1
        connection.acknowledge_next(SYN)
        return connection


@dataclass
class PeerConnection:
    """A TCP connection between the kernel and the peer, as the peer sees it."""

    network: TunNetwork
    port: int
    peer_port: int
    seq: int
    ack: int = 0

    def send(self, flags: int, data: bytes = b"") -> None:
        """Send one segment with these TCP flags."""
        addresses = socket.inet_aton(PEER) + socket.inet_aton(KERNEL)
        header = struct.pack(
            "!HHIIBBHHH", self.peer_port, self.port, self.seq, self.ack, 5 << 4, flags, 65535, 0, 0
        )
        pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(header) + len(data))
        checksum = _checksum(pseudo + header + data)
        segment = header[:16] + struct.pack("!H", checksum) + header[18:] + data
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, socket.IPPROTO_TCP, 0)
        ip = ip[:10] + struct.pack("!H", _checksum(ip + addresses)) + addresses
        os.write(self.network.fd, ip + segment)

    def acknowledge_next(self, wanted: int) -> None:
        """Wait for the kernel's next segment with the flag, and acknowledge it."""
        while True:
            flags, seq, _ = self.network.receive(self.peer_port)
            if flags & wanted:
                self.ack = seq + 1
                self.send(ACK)
                return

    def finish(self) -> None:
        """Send a FIN that acknowledges nothing new."""
        self.send(FIN | ACK)
        self.seq += 1


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
