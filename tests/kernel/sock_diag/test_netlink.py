"""The socket that pyroute2 opens, and who may answer on it."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys

import pytest

from sockwatch.kernel.sock_diag import inet_diag
from sockwatch.kernel.sock_diag.netlink import (
    HEADER_SIZE,
    NETLINK_SOCK_DIAG,
    NLM_F_REQUEST_DUMP,
    NLMSG_DONE,
    exchange,
    open_netlink,
    receive,
)

PART = "import sys; from sockwatch.kernel.sock_diag.netlink import open_netlink; open_netlink(4)\n"


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_tables_need_a_part_of_pyroute2() -> None:
    assert run(PART + "print('pyroute2.ndb' in sys.modules)") == "False"


@pytest.mark.parametrize(
    "code",
    [
        "from pyroute2 import IPRoute; print(IPRoute.__name__)",
        "import pyroute2; print(pyroute2.IPRoute.__name__)",
        "import pyroute2; pyroute2.__version__; print(pyroute2.IPRoute.__name__)",
        "from pyroute2 import iproute; print(iproute.IPRoute.__name__)",
        "import pyroute2.iproute; print(pyroute2.iproute.IPRoute.__name__)",
    ],
)
def test_the_rest_comes_when_it_is_asked_for(code: str) -> None:
    assert run(PART + code) == "IPRoute"


def test_a_name_that_is_not_there_is_missing_as_ever() -> None:
    assert run(PART + "import pyroute2; print(hasattr(pyroute2, 'nothing'))") == "False"


def test_a_package_that_is_imported_already_is_left_as_it_is() -> None:
    code = "import sys, pyroute2; whole = sys.modules['pyroute2']\n" + PART
    assert run(code + "print(sys.modules['pyroute2'] is whole)") == "True"


def test_a_package_that_is_not_installed_stays_missing() -> None:
    code = (
        "from sockwatch.kernel.sock_diag.netlink import _import_by_parts\n"
        "_import_by_parts('no_such_package')\n"
        "import sys; print('no_such_package' in sys.modules)"
    )
    assert run(code) == "False"


def test_only_the_kernel_is_believed(netns: None) -> None:
    """Another process of the same network namespace may send to our port id."""
    forged = struct.pack("=IHHIIi", HEADER_SIZE + 4, NLMSG_DONE, 2, 1, 0, 0)
    body = inet_diag.tcp_request(inet_diag.ALL_STATES, None)
    with (
        open_netlink(NETLINK_SOCK_DIAG) as ours,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as somebody,
        socket.create_server(("127.0.0.1", 8080)) as server,
    ):
        somebody.sendto(forged, ours.getsockname())
        answer = exchange(ours, inet_diag.TCPDIAG_GETSOCK, NLM_F_REQUEST_DUMP, body)
        rows = next(answer)
        assert rows != forged
        assert struct.pack("<I", os.fstat(server.fileno()).st_ino) in rows


def test_nobody_answers(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockwatch.kernel.sock_diag.netlink.ANSWER_S", 0.1)
    with (
        open_netlink(NETLINK_SOCK_DIAG) as ours,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as somebody,
    ):
        somebody.sendto(b"nonsense", ours.getsockname())
        assert receive(ours) == b""
