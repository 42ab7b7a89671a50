"""A small file of /proc or of the cgroup file system."""

from __future__ import annotations


def read_proc_file(path: str, most_bytes: int) -> bytes:
    """The beginning of the file; empty where it may not be read, or the process has exited."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(most_bytes)
    except OSError:
        return b""
