"""Where `sockwatch export` listens: an address, a unix socket, or a socket from systemd."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, NamedTuple

from sockwatch.cli.command import UsageError
from sockwatch.model import SockwatchError
from sockwatch.units import endpoint

DEFAULT: Final = "127.0.0.1:9917"
FIRST_FD: Final = 3  # sd_listen_fds(3)
BACKLOG: Final = 16
ASKED: Final = "type ADDRESS:PORT, as 127.0.0.1:9917 or [::1]:9917, or the path of a socket"
OWNER_AND_GROUP: Final = 0o660


class Listening(NamedTuple):
    """The socket. `who` is who may read from it; `end` takes away what would stay behind."""

    sock: socket.socket
    where: str
    who: str
    end: Callable[[], None]


def listen(where: str | None, *, is_tls: bool, is_client_asked: bool) -> Listening:
    """Listen there; None stands for the socket of LISTEN_FDS, or else for DEFAULT.

    Raises UsageError for what is no address, SockwatchError where bind() fails.
    """
    if where is None and os.environ.get("LISTEN_PID") == str(os.getpid()):
        return _passed()
    where = DEFAULT if where is None else where
    if "/" in where:
        return _unix(where)
    return _tcp(where, is_tls=is_tls, is_client_asked=is_client_asked)


def _passed() -> Listening:
    if os.environ.get("LISTEN_FDS") != "1":
        raise SockwatchError("LISTEN_FDS is not 1: the unit of the socket must have one socket")
    try:
        sock = socket.socket(fileno=FIRST_FD)
    except OSError as error:
        raise SockwatchError(f"LISTEN_FDS: fd {FIRST_FD}: {error.strerror}") from error
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise SockwatchError(f"LISTEN_FDS: fd {FIRST_FD} does not listen")
    sock.setblocking(True)
    sock.set_inheritable(False)
    return Listening(sock, "the socket of LISTEN_FDS", "whoever its unit lets", lambda: None)


def _unix(path: str) -> Listening:
    sock = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        os.chmod(path, OWNER_AND_GROUP)
        sock.listen(BACKLOG)
    except OSError as error:
        raise SockwatchError(f"cannot listen on {path!r}: {error.strerror or error}") from error
    made = os.stat(path)

    def end() -> None:
        with suppress(OSError):
            if os.path.samestat(os.stat(path), made):
                os.unlink(path)

    return Listening(sock, path, "the owner and the group of that file", end)


def _remove_stale(path: str) -> None:
    """What an earlier run left there; not a socket that somebody answers on, nor a file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            except OSError:
                return


def _tcp(where: str, *, is_tls: bool, is_client_asked: bool) -> Listening:
    host, _, port = where.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port) if port.isascii() and port.isdecimal() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise UsageError(f"--listen {where!r} is no address to listen on: {ASKED}")
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((str(address), number))
        sock.listen(BACKLOG)
    except OSError as error:
        raise SockwatchError(
            f"cannot listen on {where}: {error.strerror}; sockwatch why {where} says why"
        ) from error
    at = endpoint(str(address), sock.getsockname()[1])
    whose = "every user of" if address.is_loopback else "everybody who reaches"
    whose += " this host"
    if is_client_asked:
        whose += " and has a certificate of --client-ca"
    elif not address.is_loopback and not is_tls:
        whose += ", without encryption"
    return Listening(sock, f"http{'s' * is_tls}://{at}/metrics", whose, lambda: None)
