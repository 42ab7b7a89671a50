"""Why the host does not let us watch, in a sentence that says what would."""

from __future__ import annotations

from sockwatch.kernel.bpf.errors import BpfUnavailable


def refusal(error: BpfUnavailable) -> str:
    """``cannot watch: ...; run as root, or with CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN``."""
    if error.reason == "not-permitted":
        return (
            f"cannot watch: {error}; run as root, or with CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN"
        )
    return f"cannot watch: {error}" + (f"; {error.remedy}" if error.remedy else "")
