"""The lab changes nothing before it has seen that it is in its own sandbox."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

import pytest

from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.lab import wire
from sockwatch.lab.model import LabError
from sockwatch.lab.observer import Observer
from sockwatch.lab.sandbox import Sandbox
from tests.support.child import in_netns

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@in_netns
def test_fds_that_get_lost_before_the_sandbox_has_them() -> None:
    """This namespace plays the host's."""
    before = RANGE.read_text()
    with pytest.MonkeyPatch.context() as patch:
        receive = wire.receive

        def lossy(sock: socket.socket) -> tuple[dict[str, object] | None, int, list[int]]:
            content, pid, fds = receive(sock)
            for fd in fds:
                os.close(fd)
            return content, pid, []

        patch.setattr(wire, "receive", lossy)
        with pytest.raises(LabError, match="did not arrive"):
            Sandbox("own")
    assert RANGE.read_text() == before


@in_netns
def test_fds_that_get_lost_on_the_way_to_the_observer() -> None:
    before = RANGE.read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "send_fds", lambda sock, data, _: sock.send(b"".join(data)))
        with pytest.raises(LabError):
            Sandbox("own")
    assert RANGE.read_text() == before


@in_netns
def test_an_observer_elsewhere_changes_nothing() -> None:
    before = RANGE.read_text()
    with SnapshotReader() as reader:
        for netns in (None, os.stat("/proc/self/ns/net").st_ino + 1):
            observer = Observer(reader, netns)
            with pytest.raises(LabError, match="not the sandbox's"):
                observer.do_set_sysctl("ip_local_port_range", "40000 40010")
            with pytest.raises(LabError, match="not the sandbox's"):
                observer.do_end_time_waits(8080)
    assert RANGE.read_text() == before


def test_a_message_whose_fds_find_no_room_is_refused() -> None:
    ours, theirs = wire.channel()
    with ours, theirs:
        wire.send(theirs, {"kept": []}, (0, 1, 2))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
            held = []
            try:
                while True:
                    held.append(os.dup(0))
            except OSError:
                pass
            with pytest.raises(OSError, match="did not arrive"):
                wire.receive(ours)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in held:
                os.close(fd)
