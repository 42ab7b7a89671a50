"""The bpf(2) system call: one function a command, with its attributes laid out by hand.

Numbers and layouts: include/uapi/linux/bpf.h (``union bpf_attr``). Each function raises OSError
with the kernel's errno.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import NamedTuple

from sockwatch.kernel import libc
from sockwatch.kernel.bpf.errors import BpfUnavailable

_NUMBERS = {"x86_64": 321, "aarch64": 280}  # of bpf(2), by machine

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = 0, 1, 2, 3, 4
_PROG_QUERY = 16
_QUERY_EFFECTIVE = 1  # those of the cgroups above as well
_PROG_LOAD, _MAP_LOOKUP_AND_DELETE_BATCH, _LINK_CREATE, _ITER_CREATE = 5, 25, 28, 33
_RAW_TRACEPOINT_OPEN = 17  # the command; the program's type happens to have the same number

HASH_MAP, ARRAY_MAP, LRU_HASH_MAP, RING_MAP = 1, 2, 9, 27
TRACEPOINT_PROGRAM, RAW_TRACEPOINT_PROGRAM, TRACING_PROGRAM = 5, 17, 26
TRACE_ITER = 28  # the attach type; LINK_CREATE, the command, happens to have the same number

# Kernels accept a longer attr than they know if the tail is zero.
ATTR_BYTES = 128
_LOAD_ATTEMPTS = 5  # a signal during verification makes it fail with EAGAIN


def system_call_number(machine: str | None = None) -> int:
    """The number of bpf(2) here. Raises BpfUnavailable (unsupported-machine)."""
    machine = machine or os.uname().machine
    if machine not in _NUMBERS or sys.byteorder != "little" or sys.maxsize < 1 << 32:
        raise BpfUnavailable(
            "unsupported-machine", f"BPF is not supported on {machine} (only x86_64, aarch64)"
        )
    return _NUMBERS[machine]


def bpf(command: int, attr: bytearray) -> int:
    """Make the call; the kernel may write results into `attr`. Raises OSError."""
    number = system_call_number()
    buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
    return libc.syscall(number, command, ctypes.byref(buffer), len(attr))


def map_create(kind: int, key_size: int, value_size: int, entries: int, name: str) -> int:
    """A new map; returns its fd. All memory is taken at once, so that no update fails later."""
    fields = struct.pack("<IIIIII", kind, key_size, value_size, entries, 0, 0)
    return bpf(_MAP_CREATE, _attr(fields, bytes(4), _name(name)))


def map_update(map_fd: int, key: bytes, value: bytes) -> None:
    """Set the value of a key."""
    with_key, with_value = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value)
    bpf(_MAP_UPDATE, _element(map_fd, with_key, with_value))


def cgroup_programs(cgroup_fd: int, attach_type: int) -> int:
    """How many programs the cgroup has at a hook. Raises OSError: EPERM without CAP_NET_ADMIN."""
    attr = _attr(struct.pack("<IIIIQI", cgroup_fd, attach_type, _QUERY_EFFECTIVE, 0, 0, 0))
    bpf(_PROG_QUERY, attr)
    (count,) = struct.unpack_from("<I", attr, 24)
    return int(count)


def map_lookup(map_fd: int, key: bytes, value_size: int) -> bytes:
    """The value of a key. Raises OSError (ENOENT) if the map does not have it."""
    with_key, value = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value_size)
    bpf(_MAP_LOOKUP, _element(map_fd, with_key, value))
    return value.raw


def map_delete(map_fd: int, key: bytes) -> None:
    """Remove a key. Raises OSError (ENOENT) if the map does not have it."""
    with_key = ctypes.create_string_buffer(key)  # the name keeps it alive during the call
    bpf(_MAP_DELETE, _element(map_fd, with_key, None))


def map_next_key(map_fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """The key after `key`, or the first one if that is None; None at the end."""
    before = None if key is None else ctypes.create_string_buffer(key)
    after = ctypes.create_string_buffer(key_size)
    try:
        bpf(_MAP_NEXT_KEY, _element(map_fd, before, after))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return after.raw


def map_take_batch(
    map_fd: int, key_size: int, value_size: int, count: int, position: bytes | None
) -> tuple[bytes, bytes, bytes | None]:
    """Take up to `count` entries out of a hash map: (keys, values, where to continue or None)."""
    keys = ctypes.create_string_buffer(key_size * count)
    values = ctypes.create_string_buffer(value_size * count)
    before = None if position is None else ctypes.create_string_buffer(position)
    after = ctypes.create_string_buffer(max(4, key_size))
    pointers = (_address(before), _address(after), _address(keys), _address(values))
    attr = _attr(struct.pack("<QQQQIIQQ", *pointers, count, map_fd, 0, 0))
    finished = False
    try:
        bpf(_MAP_LOOKUP_AND_DELETE_BATCH, attr)
    except OSError as error:
        if error.errno != errno.ENOENT:  # ENOENT: that was all
            raise
        finished = True
    (taken,) = struct.unpack_from("<I", attr, 32)
    return (
        keys.raw[: taken * key_size],
        values.raw[: taken * value_size],
        None if finished else after.raw,
    )


class Program(NamedTuple):
    """What PROG_LOAD needs to know."""

    kind: int
    code: bytes
    name: str
    attach_type: int = 0
    attach_btf_id: int = 0


def prog_load(program: Program) -> int:
    """Load a program; returns its fd. Raises OSError."""
    return _prog_load(program, None)


def prog_load_log(program: Program) -> str:
    """The verifier's whole explanation why a program does not load; empty if it has none."""
    size = 1 << 20
    while True:
        log = ctypes.create_string_buffer(size)
        try:
            os.close(_prog_load(program, log))
        except OSError as error:
            if error.errno == errno.ENOSPC and size < 1 << 24:
                size <<= 2
                continue
        return log.value.decode(errors="replace")


def link_create(program_fd: int) -> int:
    """Attach an iterator program; returns the link's fd."""
    return bpf(_LINK_CREATE, _attr(struct.pack("<IIII", program_fd, 0, TRACE_ITER, 0)))


def iter_create(link_fd: int) -> int:
    """Open one run of an iterator, in the network namespace of the calling thread."""
    return bpf(_ITER_CREATE, _attr(struct.pack("<II", link_fd, 0)))


def raw_tracepoint_open(tracepoint: str, program_fd: int) -> int:
    """Attach a program to a tracepoint of the whole host; returns the link's fd."""
    name = ctypes.create_string_buffer(tracepoint.encode())  # alive until the call returns
    return bpf(_RAW_TRACEPOINT_OPEN, _attr(struct.pack("<QI", _address(name), program_fd)))


def prog_load_attr(
    program: Program, *, code_address: int, licence: int, log_address: int = 0, log_bytes: int = 0
) -> bytearray:
    """The attributes of PROG_LOAD; `licence` is an address too."""
    instructions = len(program.code) // 8
    head = struct.pack("<IIQQ", program.kind, instructions, code_address, licence)
    explain = struct.pack("<IIQ", 1 if log_bytes else 0, log_bytes, log_address)
    flags = struct.pack("<II", 0, 0)
    attach = struct.pack("<II", 0, program.attach_type)
    no_debug_info = bytes(36)
    target = struct.pack("<II", program.attach_btf_id, 0)
    return _attr(head, explain, flags, _name(program.name), attach, no_debug_info, target)


def _prog_load(program: Program, log: ctypes.Array[ctypes.c_char] | None) -> int:
    # attr holds bare addresses: these names keep the buffers alive until the call returns.
    instructions = ctypes.create_string_buffer(program.code)
    licence = ctypes.create_string_buffer(b"Dual MIT/GPL")  # seq_write is for GPL programs only
    attr = prog_load_attr(
        program,
        code_address=_address(instructions),
        licence=_address(licence),
        log_address=_address(log),
        log_bytes=0 if log is None else len(log),
    )
    for _ in range(_LOAD_ATTEMPTS - 1):
        try:
            return bpf(_PROG_LOAD, attr)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    return bpf(_PROG_LOAD, attr)


def _element(
    map_fd: int,
    key: ctypes.Array[ctypes.c_char] | None,
    value: ctypes.Array[ctypes.c_char] | None,
) -> bytearray:
    return _attr(struct.pack("<IIQQQ", map_fd, 0, _address(key), _address(value), 0))


def _attr(*parts: bytes) -> bytearray:
    return bytearray(b"".join(parts).ljust(ATTR_BYTES, b"\0"))


def _address(buffer: ctypes.Array[ctypes.c_char] | None) -> int:
    return 0 if buffer is None else ctypes.addressof(buffer)


def _name(name: str) -> bytes:
    return name.encode()[:15].ljust(16, b"\0")
