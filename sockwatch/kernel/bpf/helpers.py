"""The kernel's helper functions that our programs call: ___BPF_FUNC_MAPPER of linux/bpf.h."""

from __future__ import annotations

from typing import Final

MAP_LOOKUP: Final = 1
MAP_UPDATE: Final = 2
KTIME: Final = 5
PID_TGID: Final = 14
UID_GID: Final = 15
COMM: Final = 16
CURRENT_TASK_ADDRESS: Final = 35  # as a number; CURRENT_TASK is one that the verifier knows
CGROUP_ID: Final = 80
PROBE_READ_USER: Final = 112
PROBE_READ_KERNEL: Final = 113
JIFFIES_64: Final = 118
SEQ_WRITE: Final = 127
RINGBUF_OUTPUT: Final = 130
TO_TCP_SOCK: Final = 137
TO_TIME_WAIT_SOCK: Final = 138
CURRENT_TASK: Final = 158
SOCK_FROM_FILE: Final = 162

ONLY_IF_NEW: Final = 1  # BPF_NOEXIST, a flag of MAP_UPDATE
