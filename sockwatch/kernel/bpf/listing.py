"""A BPF program as text, an instruction a line, as bpftool(8) and llvm-objdump(1) write them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from sockwatch.kernel.bpf.assembler import Instruction, Source

# include/uapi/linux/bpf.h, ___BPF_FUNC_MAPPER: those that our programs call.
HELPERS: Final = {
    1: "map_lookup_elem",
    2: "map_update_elem",
    5: "ktime_get_ns",
    14: "get_current_pid_tgid",
    15: "get_current_uid_gid",
    16: "get_current_comm",
    35: "get_current_task",
    80: "get_current_cgroup_id",
    112: "probe_read_user",
    113: "probe_read_kernel",
    118: "jiffies64",
    127: "seq_write",
    130: "ringbuf_output",
    137: "skc_to_tcp_sock",
    138: "skc_to_tcp_timewait_sock",
    158: "get_current_task_btf",
    162: "sock_from_file",
}
NOTE_AT: Final = 48

# Documentation/bpf/standardization/instruction-set.rst
_LD, _LDX, _ST, _STX, _JMP = 0, 1, 2, 3, 5
_WIDTHS: Final = {0x00: "u32", 0x08: "u16", 0x10: "u8", 0x18: "u64"}
_OPERATORS: Final = {
    0x00: "+=", 0x10: "-=", 0x40: "|=", 0x50: "&=", 0x60: "<<=", 0x70: ">>=", 0xB0: "=",
}  # fmt: skip
_COMPARISONS: Final = {
    0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&", 0x50: "!=", 0x60: "s>", 0x70: "s>=",
    0xA0: "<", 0xB0: "<=", 0xC0: "s<", 0xD0: "s<=",
}  # fmt: skip
_ATOMIC: Final = 0xC0  # the mode of a store
_FROM_REGISTER: Final = 0x08


def listing(source: Source, maps: Mapping[int, str]) -> Iterator[str]:
    """The lines of a program. `maps` names the maps by the fds that it was written with."""
    labels = defaultdict(list)
    for label, index in source.labels.items():
        labels[index].append(label)
    skipped = False
    for index, instruction in enumerate(source.code):
        yield from (f"{_label(label)}:" for label in labels[index])
        if skipped:  # the second half of a 64-bit number
            skipped = False
            continue
        skipped = instruction.opcode & 0x07 == _LD
        following = source.code[index + 1] if skipped else None
        text = f"{index:5}: {_text(instruction, following, source.jumps.get(index), maps)}"
        note = source.notes.get(index)
        yield f"{text:{NOTE_AT}} ; {note}" if note else text


def _text(
    code: Instruction, following: Instruction | None, jump: str | None, maps: Mapping[int, str]
) -> str:
    kind, operation = code.opcode & 0x07, code.opcode & 0xF0
    target, right = f"r{code.target}", f"r{code.source}"
    if following is not None:
        return f"{target} = {_wide(code, following, maps)}"
    if kind in (_LDX, _ST, _STX):
        return _memory(code, kind)
    if not code.opcode & _FROM_REGISTER:
        right = str(code.immediate)
    if kind == _JMP:
        if jump is not None:
            goto = f"goto {_label(jump)}"
            condition = f"{target} {_COMPARISONS[operation]} {right}" if operation else ""
            return f"if {condition} {goto}" if condition else goto
        return f"call {HELPERS[code.immediate]}" if operation == 0x80 else "exit"
    return f"{target} {_OPERATORS[operation]} {right}"


def _memory(code: Instruction, kind: int) -> str:
    width = _WIDTHS[code.opcode & 0x18]
    base = code.source if kind == _LDX else code.target
    place = f"*({width} *)(r{base} {'-' if code.offset < 0 else '+'} {abs(code.offset)})"
    if kind == _LDX:
        return f"r{code.target} = {place}"
    if kind == _ST:
        return f"{place} = {code.immediate}"
    if code.opcode & 0xE0 == _ATOMIC:
        return f"lock {place} += r{code.source}"
    return f"{place} = r{code.source}"


def _wide(code: Instruction, following: Instruction, maps: Mapping[int, str]) -> str:
    """BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, or a number of 64 bits."""
    if code.source == 1:
        return f"map {maps[code.immediate]}"
    if code.source == 2:
        return f"value of map {maps[code.immediate]} + {following.immediate}"
    return f"{following.immediate & 0xFFFFFFFF:#x}{code.immediate & 0xFFFFFFFF:08x} ll"


def _label(name: str) -> str:
    return name.replace(" ", "_").replace("-", "_")
