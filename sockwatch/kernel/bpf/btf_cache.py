"""The layout cached by the kernel's build id: reading the BTF takes more than 0.1 s.

Root keeps it in a folder that only root can write; other users may rarely load programs. A home
is no place for it: under sudo it can be another user's, who would choose what root reads of the
kernel.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from sockwatch.kernel.bpf.btf import Field
from sockwatch.kernel.bpf.layout import ASKED, BTF_FILE, Layout, read_layout

NOTES_FILE = Path("/sys/kernel/notes")
ROOTS_CACHE = Path("/var/cache/sockwatch")
_CACHE_VERSION = 1
_MOST_BYTES = 1 << 16  # ten times what it takes
_NT_GNU_BUILD_ID = 3
_ONLY_OWNER_WRITES = 0o022


def load_layout(btf_file: Path = BTF_FILE, cache_directory: Path | None = None) -> Layout:
    """The running kernel's layout, from root's cache or else from its BTF.

    Raises BpfUnavailable: no-btf, bad-btf.
    """
    if cache_directory is None and os.geteuid() == 0:
        cache_directory = ROOTS_CACHE
    build_id = kernel_build_id()
    # A cache is a convenience: a full disk, a read-only one or no permission is no error.
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        if build_id is not None and cache_directory is not None:
            folder = stack.enter_context(_own_folder(cache_directory))
            name = f"btf-{build_id}.json"
            layout = _read_cache(folder, name)
            if layout is None:
                layout = read_layout(btf_file)
                with contextlib.suppress(OSError):
                    _write_cache(folder, name, layout)
            return layout
    return read_layout(btf_file)


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


@contextlib.contextmanager
def _own_folder(path: Path) -> Iterator[int]:
    """An fd of the folder, made if need be. Raises OSError if others could have written there."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _is_ours(os.fstat(folder)):
            raise PermissionError(f"{path} is not ours alone")
        yield folder
    finally:
        os.close(folder)


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & _ONLY_OWNER_WRITES


# What a document of any other shape makes of the reading: JSON has 1e999 and NaN, too.
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)


def _read_cache(folder: int, name: str) -> Layout | None:
    """The layout; None where there is no file yet, or not one that only we can have written."""
    import json  # noqa: PLC0415 - keeps the import of this package light

    try:
        # A FIFO would make us wait, a link lead elsewhere.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=folder)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not (stat.S_ISREG(status.st_mode) and _is_ours(status)):
                return None
            document = json.loads(file.read(_MOST_BYTES))
        if document["version"] != _CACHE_VERSION or document["asked"] != [*ASKED]:
            return None
        return Layout(
            {str(name): int(type_id) for name, type_id in document["functions"].items()},
            {str(path): _field(*map(int, numbers)) for path, numbers in document["fields"].items()},
        )
    except (OSError, *_DAMAGED):
        return None  # missing or damaged: read the BTF again


def _field(offset: int, size: int, shift: int, bits: int) -> Field:
    return Field(offset, size, shift, bits)


def _write_cache(folder: int, name: str, layout: Layout) -> None:
    """Raises OSError, and leaves nothing then."""
    import json  # noqa: PLC0415

    document = {
        "version": _CACHE_VERSION,
        "asked": [*ASKED],
        "functions": layout.functions,
        "fields": {path: field[:4] for path, field in layout.fields.items()},
    }
    temporary = f".{name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, mode=0o600, dir_fd=folder)
    try:
        with open(fd, "w") as file:
            json.dump(document, file)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
