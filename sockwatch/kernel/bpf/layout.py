"""The handful of kernel offsets our programs need, cached by the kernel's build id.

Reading the kernel's BTF takes about 0.15 s, so what was found is kept in the user's cache
directory. A cache that others could have written is not read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import tempfile
from pathlib import Path
from typing import NamedTuple

from sockwatch.kernel.bpf.btf import Btf, BtfError, Field
from sockwatch.kernel.bpf.errors import BpfUnavailable

BTF_FILE = Path("/sys/kernel/btf/vmlinux")
NOTES_FILE = Path("/sys/kernel/notes")

FUNCTIONS = ("bpf_iter_tcp", "bpf_iter_udp", "bpf_iter_task_file")
FIELDS = (
    "bpf_iter_meta.seq",
    "sock_common.skc_reuse",
    "sock_common.skc_reuseport",
    "sock_common.skc_ipv6only",
    "sock_common.skc_state",
    "sock_common.skc_family",
    "sock_common.skc_bound_dev_if",
    "sock_common.skc_num",
    "sock_common.skc_dport",
    "sock_common.skc_rcv_saddr",
    "sock_common.skc_daddr",
    "sock_common.skc_v6_rcv_saddr",
    "sock_common.skc_v6_daddr",
    "sock_common.skc_cookie",
    "sock_common.skc_net.net",
    "net.ns.inum",
    "sock.sk_protocol",
    "sock.sk_uid.val",
    "sock.sk_socket",
    "socket.file",
    "socket.sk",
    "file.f_inode",
    "inode.i_ino",
    "task_struct.signal",
    "signal_struct.pids",
    "pid.level",
    "pid.numbers",
    "upid.nr",
    "upid.ns",
    "tcp_timewait_sock.tw_sk.tw_timer.expires",
    "tcp_timewait_sock.tw_sk.tw_substate",
)
_CACHE_VERSION = 1
_NT_GNU_BUILD_ID = 3


class Layout(NamedTuple):
    """BTF ids of kernel functions and places of struct members; what is missing is left out."""

    functions: dict[str, int]
    fields: dict[str, Field]

    def function(self, name: str) -> int:
        """Raises BpfUnavailable (old-kernel) if the kernel has no such function."""
        try:
            return self.functions[name]
        except KeyError:
            raise _too_old(f"function {name}") from None

    def field(self, path: str) -> Field:
        """Raises BpfUnavailable (old-kernel) if the kernel has no such member."""
        try:
            return self.fields[path]
        except KeyError:
            raise _too_old(f"member {path}") from None


def load_layout(btf_file: Path = BTF_FILE, cache_directory: Path | None = None) -> Layout:
    """The running kernel's layout, from the cache or else from its BTF.

    Raises BpfUnavailable: no-btf, bad-btf.
    """
    build_id = kernel_build_id()
    cache = None
    if build_id is not None:
        cache = (cache_directory or _user_cache_directory()) / f"btf-{build_id}.json"
        cached = _read_cache(cache)
        if cached is not None:
            return cached
    layout = read_layout(btf_file)
    if cache is not None:
        _write_cache(cache, layout)
    return layout


def read_layout(btf_file: Path = BTF_FILE) -> Layout:
    """The layout from BTF itself. Raises BpfUnavailable: no-btf, bad-btf."""
    try:
        data = btf_file.read_bytes()
    except OSError as error:
        raise BpfUnavailable(
            "no-btf",
            f"the kernel's type information cannot be read: {btf_file}: {error.strerror}",
            remedy="a kernel built with CONFIG_DEBUG_INFO_BTF, and a /sys that shows it",
            errno=error.errno,
        ) from error
    try:
        btf = Btf(data, {*FUNCTIONS, *(path.split(".")[0] for path in FIELDS)})
        functions = {name: btf.function_id(name) for name in FUNCTIONS}
        fields = {path: btf.field(path) for path in FIELDS}
    except BtfError as error:
        raise BpfUnavailable("bad-btf", f"{btf_file}: {error}") from error
    return Layout(
        {name: type_id for name, type_id in functions.items() if type_id is not None},
        {path: field for path, field in fields.items() if field is not None},
    )


def kernel_build_id(notes_file: Path = NOTES_FILE) -> str | None:
    """The GNU build id of the running kernel in hex, from its ELF notes; None if there is none."""
    try:
        notes = notes_file.read_bytes()
    except OSError:
        return None
    position = 0
    while position + 12 <= len(notes):
        name_len, data_len, kind = struct.unpack_from("=III", notes, position)
        name_at = position + 12
        data_at = name_at + (name_len + 3 & ~3)
        position = data_at + (data_len + 3 & ~3)
        if kind == _NT_GNU_BUILD_ID and notes[name_at : name_at + name_len] == b"GNU\0":
            return notes[data_at : data_at + data_len].hex() or None
    return None


def _user_cache_directory() -> Path:
    import platformdirs  # noqa: PLC0415 - only a cold start or a cache look-up needs it

    return platformdirs.user_cache_path("sockwatch", appauthor=False)


def _read_cache(path: Path) -> Layout | None:
    import json  # noqa: PLC0415 - keeps the import of this package light

    try:
        with path.open("rb") as file:
            # Under sudo the directory can be somebody else's: believe only what we wrote.
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
                return None
            document = json.load(file)
        if document["version"] != _CACHE_VERSION or document["asked"] != [*FUNCTIONS, *FIELDS]:
            return None
        return Layout(
            {str(name): int(type_id) for name, type_id in document["functions"].items()},
            {
                str(path): Field(*(int(number) for number in numbers))
                for path, numbers in document["fields"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # missing or damaged: read the BTF again


def _write_cache(path: Path, layout: Layout) -> None:
    import json  # noqa: PLC0415

    document = {
        "version": _CACHE_VERSION,
        "asked": [*FUNCTIONS, *FIELDS],
        "functions": layout.functions,
        "fields": layout.fields,
    }
    # A cache is a convenience: a full disk or a read-only home is no error.
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_uid != os.geteuid():
            return
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            json.dump(document, file)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink()


def _too_old(what: str) -> BpfUnavailable:
    return BpfUnavailable(
        "old-kernel",
        f"the kernel {os.uname().release} has no {what}",
        remedy="a newer kernel (5.11 or later)",
    )
