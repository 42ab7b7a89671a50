"""Every errno of bind() and listen(), as the kernel gives it, and what is told of it."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.kernel.bpf import syscall
from sockwatch.view.failures import failure_line
from sockwatch.watch import FailureWatch
from tests.support import seccomp
from tests.support.child import become, idle_child
from tests.support.failing import bind, collect, forked, of_pid
from tests.support.libc import check, libc
from tests.support.netns import CLONE_NEWNS, unshare
from tests.support.privilege import needs_task_files

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
IP_LOCAL_PORT_RANGE = 51
NOBODY = 65534


def told(watch: FailureWatch, fail: Callable[[], object]) -> ExplainedFailure:
    """The first failure of a child that runs it and ends."""
    return collect(watch, of_pid(forked(fail)))[0]


def cause_of(explained: ExplainedFailure) -> str | None:
    return explained.cause and explained.cause.id


def raw_bind(fd: int, address: bytes, length: int | None = None) -> None:
    """bind(2) with any bytes, and any length."""
    check(libc.bind(fd, address, len(address) if length is None else length))


def in4(port: int = 8080) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, b"\x7f\0\0\1")


def with_socket(
    family: int, kind: int, use: Callable[[socket.socket], object]
) -> Callable[[], None]:
    def run() -> None:
        with socket.socket(family, kind) as sock:
            use(sock)

    return run


def bind_again(sock: socket.socket) -> None:
    sock.bind(("127.0.0.1", 0))
    sock.bind(("127.0.0.1", 8081))


def bind_path_again(sock: socket.socket) -> None:
    sock.bind(b"\0first name of two")
    sock.bind(b"\0second name of two")


def listen_connected(sock: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock.connect(server.getsockname())
        sock.listen()


def same_port_id(sock: socket.socket) -> None:
    sock.bind((0, 0))
    bind(socket.AF_NETLINK, (sock.getsockname()[0], 0), kind=socket.SOCK_RAW)


def not_a_socket() -> None:
    with open("/dev/null") as file:
        raw_bind(file.fileno(), in4())


TCP, UDP, LOCAL = (
    (socket.AF_INET, socket.SOCK_STREAM),
    (socket.AF_INET, socket.SOCK_DGRAM),
    (socket.AF_UNIX, socket.SOCK_STREAM),
)
PACKET = struct.pack("=H", socket.AF_PACKET) + struct.pack("!H", 0) + struct.pack("=i12x", 999999)
CALLS = {
    "EBADF": (lambda: raw_bind(999, in4()), "bad-call", "fd 999 is not open"),
    "ENOTSOCK": (not_a_socket, "bad-call", "not a socket"),
    "EFAULT": (
        with_socket(*TCP, lambda s: libc.bind(s.fileno(), ctypes.c_void_p(8), 16)),
        "bad-call",
        "memory",
    ),
    "EOPNOTSUPP": (with_socket(*UDP, lambda s: libc.listen(s.fileno(), 5)), "bad-call", "udp"),
    "EINVAL bound": (with_socket(*TCP, bind_again), "already-bound", "already"),
    "EINVAL bound unix": (with_socket(*LOCAL, bind_path_again), "already-bound", "already"),
    "EINVAL short": (
        with_socket(*TCP, lambda s: raw_bind(s.fileno(), in4(), 8)),
        "bad-call",
        "has 8 bytes; ipv4 has at least 16",
    ),
    "EINVAL long": (
        with_socket(*LOCAL, lambda s: raw_bind(s.fileno(), b"\1\0/" + b"x" * 120)),
        "bad-call",
        "has 123 bytes; unix has at most 110",
    ),
    "EINVAL family": (
        with_socket(*LOCAL, lambda s: raw_bind(s.fileno(), in4())),
        "wrong-family",
        "of the family ipv4, the socket of unix",
    ),
    "EINVAL connected": (with_socket(*TCP, listen_connected), "bad-call", "connected"),
    "EINVAL nameless": (with_socket(*LOCAL, lambda s: s.listen()), "bad-call", "no name"),
    "EAFNOSUPPORT": (
        with_socket(*TCP, lambda s: raw_bind(s.fileno(), struct.pack("=H26x", socket.AF_INET6))),
        "wrong-family",
        "of the family ipv6, the socket of ipv4",
    ),
    "EADDRINUSE": (
        with_socket(socket.AF_NETLINK, socket.SOCK_RAW, same_port_id),
        "netlink-port-id",
        "the port id",
    ),
    "ENODEV": (
        with_socket(socket.AF_PACKET, socket.SOCK_RAW, lambda s: raw_bind(s.fileno(), PACKET)),
        "no-device",
        "the number 999999",
    ),
    "ENODEV zone": (
        with_socket(
            socket.AF_INET6, socket.SOCK_STREAM, lambda s: s.bind(("fe80::53", 8080, 0, 999_999))
        ),
        "no-device",
        "the number 999999",
    ),
}


def test_the_call_itself(watch: FailureWatch, netns: None) -> None:
    pids = {name: forked(fail) for name, (fail, _, _) in CALLS.items()}
    found = {each.failure.pid: each for each in collect(watch, of_pid(*pids.values()), len(pids))}
    for name, (_, cause, text) in CALLS.items():
        explained = found[pids[name]]
        assert (explained.failure.errno, cause_of(explained)) == (name.split()[0], cause), name
        assert explained.cause is not None
        assert text in explained.cause.text, name
        assert explained.explained
        assert explained.fixes


def test_families_are_shown_by_name(watch: FailureWatch, netns: None) -> None:
    explained = told(watch, with_socket(socket.AF_NETLINK, socket.SOCK_RAW, same_port_id))
    assert f"bind netlink {explained.failure.address} EADDRINUSE" in failure_line(explained)


def as_nobody(fail: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        fail()

    return run


def test_multicast_groups_of_netlink(watch: FailureWatch, netns: None) -> None:
    netfilter = 12

    def join() -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter) as sock:
            sock.bind((0, 1))

    explained = told(watch, as_nobody(join))
    assert explained.failure.errno == "EPERM"
    assert cause_of(explained) == "missing-capability"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOSYS])
def test_a_seccomp_filter(watch: FailureWatch, netns: None, number: int) -> None:
    def fail() -> None:
        seccomp.refuse("bind", number)
        bind(socket.AF_INET, ("127.0.0.1", 8080))

    explained = told(watch, fail)
    assert explained.failure.errno == errno.errorcode[number]
    assert cause_of(explained) == "security-policy"
    assert explained.cause is not None
    assert "seccomp filter on the thread" in explained.cause.text
    assert not any("CAP_" in (fix.command or "") for fix in explained.fixes)


def test_an_errno_without_a_name(watch: FailureWatch, netns: None) -> None:
    def fail() -> None:
        seccomp.refuse("bind", 4000)
        bind(socket.AF_INET, ("127.0.0.1", 8080))

    explained = told(watch, fail)
    assert explained.failure.errno == "4000"
    assert not explained.explained
    assert "bind tcp 127.0.0.1:8080 4000" in failure_line(explained)


CGROUP_SOCK_ADDR, CGROUP_INET4_BIND = 18, 8
PROG_LOAD, PROG_ATTACH = 5, 8


@contextmanager
def cgroup_that_refuses_to_bind() -> Iterator[Path]:
    """A cgroup with a BPF program that answers 0 to each bind() of IPv4, as systemd makes one."""
    with tempfile.TemporaryDirectory() as mount:
        if libc.mount(b"none", mount.encode(), b"cgroup2", 0, None):
            pytest.skip("no cgroup2 here")
        place = Path(mount, f"sockwatch-test-{os.getpid()}")
        try:
            place.mkdir()
            code = bytes.fromhex("b700000000000000 9500000000000000")  # r0 = 0; exit
            kept = (ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL"))
            attr = struct.pack(
                "<IIQQ", CGROUP_SOCK_ADDR, 2, *(ctypes.addressof(each) for each in kept)
            )
            attr = attr.ljust(68, b"\0") + struct.pack("<I", CGROUP_INET4_BIND)
            program = syscall.bpf(PROG_LOAD, bytearray(attr.ljust(128, b"\0")))
            folder = os.open(place, os.O_RDONLY)
            attach = struct.pack("<IIII", folder, program, CGROUP_INET4_BIND, 0)
            syscall.bpf(PROG_ATTACH, bytearray(attach.ljust(128, b"\0")))
            os.close(folder)
            os.close(program)
            yield place
        finally:
            place.rmdir()
            libc.umount2(mount.encode(), 2)


@needs_task_files
def test_a_bpf_program_of_the_cgroup(watch: FailureWatch, netns: None) -> None:
    with cgroup_that_refuses_to_bind() as cgroup:

        def fail() -> None:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))
            bind(socket.AF_INET, ("127.0.0.1", 8080))

        explained = told(watch, fail)
    assert explained.failure.errno == "EPERM"
    assert cause_of(explained) == "security-policy"
    assert explained.cause is not None
    assert "SocketBindDeny=" in explained.cause.text


# ------------------------------------------------------------------ the folders of a unix path


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, and open to everybody."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def read_only(place: Path) -> None:
    unshare(CLONE_NEWNS)
    name = os.fsencode(place)
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    check(libc.mount(name, name, None, MS_BIND, None))
    check(libc.mount(None, name, None, MS_BIND | MS_REMOUNT | MS_RDONLY, None))


@pytest.mark.parametrize(
    ("error", "path", "text"),
    [
        ("EACCES", "roots/app.sock", "may not make files in the directory {}/roots: its owner"),
        ("EACCES", "closed/below/app.sock", "may not pass through the directory {}/closed"),
        ("ENOENT", "missing/below/app.sock", "the directory {}/missing does not exist"),
        ("ENOTDIR", "file/app.sock", "{}/file is not a directory"),
        ("ELOOP", "loop/app.sock", "{}/loop leads through too many symbolic links"),
    ],
)
def test_folders(watch: FailureWatch, folder: Path, error: str, path: str, text: str) -> None:
    (folder / "roots").mkdir(0o755)
    (folder / "closed" / "below").mkdir(parents=True)
    (folder / "closed").chmod(0o700)
    (folder / "file").touch()
    (folder / "loop").symlink_to("loop")
    explained = told(watch, as_nobody(lambda: bind(socket.AF_UNIX, str(folder / path))))
    assert (explained.failure.errno, cause_of(explained)) == (error, "unix-folder")
    assert explained.cause is not None
    assert text.format(folder) in explained.cause.text
    assert explained.explained
    assert error != "EACCES" or "uid 65534" in explained.cause.text


def test_a_file_system_without_sockets(watch: FailureWatch) -> None:
    explained = told(watch, lambda: bind(socket.AF_UNIX, "/sys/app.sock"))
    assert (explained.failure.errno, cause_of(explained)) == ("EPERM", "unix-folder")
    assert explained.cause is not None
    assert "/sys" in explained.cause.text


def test_root_without_the_capability(watch: FailureWatch, folder: Path) -> None:
    """It is judged by the mode; with the capability, only a policy can have refused."""
    os.chown(folder, NOBODY, NOBODY)

    def fail() -> None:
        become(0)
        bind(socket.AF_UNIX, str(folder / "app.sock"))

    explained = told(watch, fail)
    assert (explained.failure.errno, cause_of(explained)) == ("EACCES", "unix-folder")

    def refused() -> None:
        seccomp.refuse("bind", errno.EACCES)
        bind(socket.AF_UNIX, str(folder / "app.sock"))

    assert cause_of(told(watch, refused)) == "security-policy"


def test_a_policy_refuses_a_path(watch: FailureWatch, folder: Path) -> None:
    """Whatever the errno: the folders let it be made."""

    def fail(number: int) -> Callable[[], None]:
        def run() -> None:
            seccomp.refuse("bind", number)
            bind(socket.AF_UNIX, str(folder / "app.sock"))

        return run

    for number in (errno.EPERM, errno.EACCES):
        explained = told(watch, fail(number))
        assert (cause_of(explained), explained.explained) == ("security-policy", False)


def failed_and_alive(watch: FailureWatch, fail: Callable[[], object]) -> ExplainedFailure:
    def run() -> None:
        try:
            fail()
        except OSError:
            return

    with idle_child(run) as pid:
        return collect(watch, of_pid(pid))[0]


def test_a_read_only_mount_of_its_own(watch: FailureWatch, folder: Path) -> None:
    def fail() -> None:
        read_only(folder)
        bind(socket.AF_UNIX, str(folder / "app.sock"))

    explained = failed_and_alive(watch, fail)
    assert (explained.failure.errno, cause_of(explained)) == ("EROFS", "unix-folder")
    gone = told(watch, fail)  # its mount namespace is not ours, and gone
    assert (gone.failure.errno, cause_of(gone)) == ("EROFS", None)


def test_its_working_directory_and_its_groups(watch: FailureWatch, folder: Path) -> None:
    """The kernel is asked with the groups of the process: another folder lets them in."""
    team = 4711
    for name, mode in (("closed", 0o700), ("team", 0o770)):
        (folder / name).mkdir()
        os.chown(folder / name, 0, team)
        (folder / name).chmod(mode)

    def fail() -> None:
        os.chdir(folder / "team")
        os.setgroups([team])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        bind(socket.AF_UNIX, "app.sock")
        bind(socket.AF_UNIX, "../closed/app.sock")

    explained = failed_and_alive(watch, fail)
    assert explained.failure.address == "../closed/app.sock"
    assert explained.cause is not None
    assert "make files in the directory ../closed" in explained.cause.text


# ------------------------------------------------------------------ TCP and UDP


def test_a_link_local_address_without_its_link(watch: FailureWatch, netns: None) -> None:
    explained = told(watch, lambda: bind(socket.AF_INET6, ("fe80::53", 8080)))
    assert explained.failure.errno == "EINVAL"
    assert explained.explained
    assert explained.reason is not None
    assert explained.reason.id == "no-zone"


def test_a_port_range_of_the_sockets_own(watch: FailureWatch, netns: None) -> None:
    try:
        with socket.socket() as sock:
            sock.getsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE)
    except OSError:
        pytest.skip("the kernel has no IP_LOCAL_PORT_RANGE")
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 40000))
        two.bind(("127.0.0.1", 40001))

        def fail() -> None:
            with socket.socket() as sock:
                packed = struct.pack("=I", 40001 << 16 | 40000)
                sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, packed)
                sock.bind(("127.0.0.1", 0))

        explained = told(watch, fail)
    assert explained.failure.port_range == (40000, 40001)
    assert explained.explained
    assert explained.reason is not None
    assert explained.reason.id == "range-exhausted"
