"""The layout cached by the kernel's build id: reading the BTF takes more than 0.1 s.

It is kept in the user's cache directory. A cache that others could have written is not read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import tempfile
from pathlib import Path

from sockwatch.kernel.bpf.btf import Field
from sockwatch.kernel.bpf.layout import BTF_FILE, FIELDS, FUNCTIONS, Layout, read_layout

NOTES_FILE = Path("/sys/kernel/notes")
_CACHE_VERSION = 1
_NT_GNU_BUILD_ID = 3


def load_layout(btf_file: Path = BTF_FILE, cache_directory: Path | None = None) -> Layout:
    """The running kernel's layout, from the cache or else from its BTF.

    Raises BpfUnavailable: no-btf, bad-btf.
    """
    build_id = kernel_build_id()
    cache = None
    directory = cache_directory or _user_cache_directory()
    # Without a home the path stays relative, and would litter the working directory.
    if build_id is not None and directory.is_absolute():
        cache = directory / f"btf-{build_id}.json"
        cached = _read_cache(cache)
        if cached is not None:
            return cached
    layout = read_layout(btf_file)
    if cache is not None:
        _write_cache(cache, layout)
    return layout


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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
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
            try:
                json.dump(document, file)
                file.flush()
                temporary.replace(path)
            except BaseException:
                temporary.unlink()
                raise
