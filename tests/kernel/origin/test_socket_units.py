"""What systemctl shows of socket units, as recorded from systemd 252, and what it may never do."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel import tools
from sockwatch.kernel.origin import socket_units
from sockwatch.kernel.origin.socket_units import MOST_MANAGERS, SocketUnitReader, parse_units
from sockwatch.kernel.tools import ToolError
from sockwatch.model import Snapshot, SocketUnit
from tests.support import build

RECORDED = b"""\
BindToDevice=
Listen=127.0.0.1:7010 (Stream)
Listen=[::1]:7010 (Stream)
Listen=/run/share.sock (Stream)
ReusePort=yes
SocketProtocol=0
Id=share.socket
Triggers=web.service
ActiveState=active

BindToDevice=
Listen=[::]:7007 (Stream)
ReusePort=no
SocketProtocol=0
Id=two.socket
Triggers=late.service
ActiveState=failed

BindToDevice=lo
Listen=0.0.0.0:7011 (Stream)
ReusePort=no
SocketProtocol=0
Id=echo.socket
Triggers=
ActiveState=active

BindToDevice=
Listen=/run/initctl (FIFO)
Listen=audit 1 (Netlink)
ReusePort=no
SocketProtocol=0
Id=systemd-initctl.socket
Triggers=systemd-initctl.service
ActiveState=active

BindToDevice=
Listen=127.0.0.1:7008 (Datagram)
ReusePort=no
SocketProtocol=0
Id=udp.socket
Triggers=udp.service
ActiveState=active

BindToDevice=
Listen=[::]:7012 (Stream)
ReusePort=no
SocketProtocol=0
Id=stopped.socket
Triggers=stopped.service
ActiveState=inactive
"""
SHARE = SocketUnit("share.socket", "tcp", "127.0.0.1", 7010, None, "web.service", False, True, 3)


def test_what_systemd_shows() -> None:
    assert parse_units(RECORDED) == (
        SocketUnit("echo.socket", "tcp", "0.0.0.0", 7011, "lo", None),
        SHARE,
        SHARE._replace(address="::1"),
        SocketUnit("two.socket", "tcp", "::", 7007, None, "late.service", has_failed=True),
        SocketUnit("udp.socket", "udp", "127.0.0.1", 7008, None, "udp.service"),
    )


def shown(listen: str, name: str = "web.socket", **properties: str) -> bytes:
    lines = {"Id": name, "ActiveState": "active", "Triggers": "web.service"} | properties
    return "\n".join((f"Listen={listen}", *(f"{k}={v}" for k, v in lines.items()))).encode()


def test_a_zone_is_a_device() -> None:
    (unit,) = parse_units(shown("[fe80::1]:7013%eth0 (Stream)"))
    assert (unit.address, unit.device) == ("fe80::1", "eth0")


@pytest.mark.parametrize(
    "output",
    [
        shown("[::]:70070000 (Stream)"),
        shown("[::g]:7007 (Stream)"),
        shown("vsock:2:7007 (Stream)"),
        shown("/run/[::]:7007 (SequentialPacket)"),
        shown("[::]:7007 (Stream)", SocketProtocol="132"),
        shown("[::]:7007 (Stream)", name="web.service/../x.socket"),
        shown("[::]:7007 (Stream)", name="--root=evil.socket"),
        shown("[::]:7007 (Stream)", name="-evil.socket"),
        shown("[::]:7007 (Stream)", name="a;reboot.socket"),
        shown("[::]:7007 (Stream)", name="a\x1b[31m.socket"),
        shown("[::]:7007 (Stream)", name="web.socket\n\nId="),
        shown("[::]:7007 (Stream)", name="a" * 256 + ".socket"),
    ],
)
def test_what_is_no_unit_of_ours(output: bytes) -> None:
    assert parse_units(output) == ()


@pytest.mark.parametrize(
    "name", ["web.service; reboot", "-x.service", "\x9b.service", "a b.service"]
)
def test_a_service_that_cannot_be_typed_is_none(name: str) -> None:
    (unit,) = parse_units(shown("[::]:7007 (Stream)", Triggers=name))
    assert unit.activates is None


@pytest.mark.parametrize(
    "output", [b"", b"\n\n", b"ListenStream=[::]:7007\nId=web.socket\n", b"{}"]
)
def test_something_else_is_no_answer(output: bytes) -> None:
    with pytest.raises(ToolError):
        parse_units(output)


PIECES = st.sampled_from(
    [*RECORDED.decode().split("\n"), "\n", "Id=-x.socket", "Listen=\udcff", "="]
)


@given(st.lists(PIECES | st.text(max_size=20)))
def test_whatever_it_shows_only_names_of_units_come_out(lines: list[str]) -> None:
    try:
        units = parse_units("\n".join(lines).encode(errors="surrogateescape"))
    except (ToolError, UnicodeEncodeError):
        return
    for unit in units:
        assert re.fullmatch(r"[\w:.@\\][\w:.@\\-]*\.socket", unit.name, re.ASCII)
        assert unit.is_for(
            build.socket("LISTEN", unit.address, unit.port, protocol=unit.protocol)
        ) is (unit.device is None)


def answered(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, managers: int) -> Snapshot:
    """A look at a port that so many systemds hold, where the script is systemctl(1)."""
    folder.chmod(0o755)
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}")
    program.chmod(0o755)
    monkeypatch.setattr(tools, "FOLDERS", str(folder))
    processes = [
        build.process(pid, "systemd", uid=os.geteuid(), command="systemd --user")
        for pid in range(700, 700 + managers)
    ]
    holders = tuple(map(build.holder, processes))
    listener = build.socket("LISTEN", "0.0.0.0", 7007, flags=build.A, holders=holders)
    port = build.port(7007, listeners=(listener,))
    return SocketUnitReader().complete(build.snapshot([port], only_port=7007))


def test_an_answer_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_units, "MOST_BYTES", 1 << 20)
    (gap,) = answered(tmp_path, monkeypatch, "yes 'Listen=[::]:7007 (Stream)'", 1).gaps
    assert gap.text.endswith("is unknown: systemctl prints more than 1 MiB")


def test_many_that_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    gaps = answered(tmp_path, monkeypatch, "exec sleep 9", MOST_MANAGERS + 3).gaps
    assert time.monotonic() - started < tools.LIMIT_S + 1
    assert len(gaps) == MOST_MANAGERS + 1
    assert "3 more processes called systemd listen" in gaps[-1].text
