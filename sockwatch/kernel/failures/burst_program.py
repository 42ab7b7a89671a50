"""The part of the program that counts failures of the same kind instead of writing each."""

from __future__ import annotations

from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord
from sockwatch.kernel.bpf.helpers import MAP_LOOKUP, MAP_UPDATE
from sockwatch.kernel.failures import rows

_SECOND_NS = 1_000_000_000


def leave_if_frequent(code: Assembler, row: StackRecord, bursts_fd: int) -> None:
    """Count the failure and jump to ``done`` if enough of its kind were written within a second.

    The failure is in `row`, which is left in place; `bursts_fd` is the map that counts.
    """
    burst = StackRecord(
        rows.BURST_COLUMNS, rows.BURST_STRUCT.size, row.size + rows.BURST_STRUCT.size
    )

    def point_at_key() -> None:
        code.map_pointer(R.R1, bursts_fd)
        code.address_of(R.R2, row)
        code.compute(R.R2, "+", rows.ALIKE_AT)

    began, written, repeats = (
        rows.BURST_COLUMNS[name] for name in ("began_ns", "written", "repeats")
    )
    point_at_key()
    code.call(MAP_LOOKUP)
    code.jump_if(R.R0, "==", 0, "first of its kind")
    code.compute(R.R6, "=", R.R0)
    code.get(R.R7, row, "time_ns")
    code.load(R.R1, R.R6, began.offset, began.size)
    code.compute(R.R8, "=", R.R7)
    code.compute(R.R8, "-", R.R1)
    code.jump_if(R.R8, "<", _SECOND_NS, "same second")
    code.store(R.R6, began.offset, R.R7, began.size)
    code.store_number(R.R6, written.offset, 0, written.size)
    code.label("same second")
    code.load(R.R1, R.R6, written.offset, written.size)
    code.jump_if(R.R1, "<", rows.WRITTEN_A_SECOND, "write")
    code.compute(R.R1, "=", 1)
    code.add_atomically(R.R6, repeats.offset, R.R1)
    code.jump("done")
    code.label("write")
    code.compute(R.R1, "+", 1)
    code.store(R.R6, written.offset, R.R1, written.size)
    code.load(R.R1, R.R6, repeats.offset, repeats.size)
    code.put(row, "repeats", R.R1)
    code.jump("send")
    code.label("first of its kind")
    code.get(R.R1, row, "time_ns")
    code.put(burst, "began_ns", R.R1)
    code.put(burst, "written", 1)
    code.put(burst, "repeats", 0)
    point_at_key()
    code.address_of(R.R3, burst)
    code.compute(R.R4, "=", 0)
    code.call(MAP_UPDATE)
    code.label("send")
