"""The document of `sockwatch snapshot`: everything that a look has seen, in one line of JSON.

Who reads one may be given anything, so it is taken for foreign text: its size, depth, types and
ranges are checked, and what is printed of it has passed ``text.clean()``.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple, NoReturn

from sockwatch.model import Gap, HostSnapshot, Snapshot, SockwatchError
from sockwatch.model.codec import (
    Shared,
    read,
    read_processes,
    write_processes,
    written,
)
from sockwatch.model.json_values import MalformedError
from sockwatch.text import NAME_LIMIT, clean

SCHEMA: Final = 1
KIND: Final = "snapshot"
SIZE_LIMIT: Final = 32 << 20  # bytes; 10,000 servers take 4 MB
SHOWN: Final = 40  # characters of what is no document


class CutOffError(SockwatchError):
    """A document that ends in the middle."""


class Carried(NamedTuple):
    """What a document has. `version` is that of the sockwatch that writes it.

    `is_wide`: of every network namespace of the host, else of one, alone in `seen`. `is_outside`:
    that one is not the one in which it was asked for, so that commands have to enter it.
    """

    seen: HostSnapshot
    version: str
    is_wide: bool = False
    is_outside: bool = False

    @property
    def own(self) -> Snapshot:
        """That of the one network namespace, or of the one in which it was asked for."""
        return self.seen.own

    @property
    def host(self) -> str:
        """The name of the host, as it says itself."""
        return self.own.host


def carried_document(carried: Carried) -> str:
    """The document, with the line end: several in a row are a stream."""
    shared: Shared = {}
    snapshots = [written(Snapshot, snapshot, shared) for snapshot in carried.seen.snapshots]
    document = {
        "document": KIND,
        "schema": SCHEMA,
        "sockwatch": carried.version,
        "all_netns": carried.is_wide,
        "outside": carried.is_outside,
        "gaps": written(tuple[Gap, ...], carried.seen.gaps, shared),
        "processes": write_processes(shared),
        "snapshots": snapshots,
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def read_carried(text: str | bytes, reader: str) -> Carried:
    """What the document has; `reader` is our own version.

    Raises SockwatchError with what is wrong with it, CutOffError where its end is missing.
    """
    if len(text) > SIZE_LIMIT:
        raise SockwatchError(f"the document is larger than {SIZE_LIMIT >> 20} MiB")
    try:
        document = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _no_document(text) from None
    if not isinstance(document, dict) or document.get("document") != KIND:
        raise SockwatchError("this is no document of sockwatch snapshot; run that to get one")
    version = document.get("sockwatch")
    version = clean(version, NAME_LIMIT) if isinstance(version, str) else "?"
    _check_schema(document.get("schema"), version, reader)
    try:
        return _read(document, version)
    except RecursionError:
        wrong = "it is too deep"
    except MalformedError as error:
        wrong = str(error)
    other = "" if version == reader else f", which sockwatch {version} has written"
    raise SockwatchError(f"the document{other} is malformed: {wrong}")


def _read(document: dict[str, Any], version: str) -> Carried:
    """Raises MalformedError, RecursionError."""
    processes = _field(document, "processes", read_processes)
    gaps = _field(document, "gaps", lambda data: read(tuple[Gap, ...], data))
    snapshots = _field(
        document, "snapshots", lambda data: read(tuple[Snapshot, ...], data, processes)
    )
    is_wide = _field(document, "all_netns", lambda data: read(bool, data))
    is_outside = _field(document, "outside", lambda data: read(bool, data))
    if not snapshots or (len(snapshots) > 1 and not is_wide):
        raise MalformedError(f"{len(snapshots)} snapshots are not one")
    for snapshot in snapshots:
        if len({port.key for port in snapshot.ports}) < len(snapshot.ports):
            raise MalformedError("a port is there twice")
    if len({snapshot.netns.key for snapshot in snapshots}) < len(snapshots):
        raise MalformedError("a network namespace is there twice")
    return Carried(HostSnapshot(snapshots, gaps), version, is_wide, is_outside)


def _field(document: dict[str, Any], name: str, reader: Any) -> Any:
    try:
        if name not in document:
            raise MalformedError("it is missing")  # noqa: TRY301
        return reader(document[name])
    except MalformedError as error:
        error.path += (f".{name}",)
        raise


def _check_schema(schema: Any, version: str, reader: str) -> None:
    if schema == SCHEMA and type(schema) is int:
        return
    if type(schema) is not int:
        raise SockwatchError("the document has no schema; sockwatch snapshot writes one that has")
    older, what = ("this", "here") if schema > SCHEMA else ("the other", "there")
    raise SockwatchError(
        f"the document has schema {clean(str(schema)[:NAME_LIMIT])}, of sockwatch {version}, and "
        f"this sockwatch {reader} reads schema {SCHEMA}: {older} side is older; update {what}"
    )


def _no_document(text: str | bytes) -> SockwatchError:
    start = clean(text[: SHOWN + 1].strip(), SHOWN)
    if start.startswith('{"document"') and text[-1:] not in ("\n", b"\n"):
        return CutOffError("the document is cut off: its line has no end")
    return SockwatchError(
        f"this is no document of sockwatch snapshot, which is one line of JSON: {start!r}"
    )


def _no_number(_: str) -> NoReturn:
    raise ValueError
