"""How many arenas malloc(3) has, by malloc_info(3)."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from sockwatch.kernel.allocator import use_one_arena
if sys.argv[1] == "one":
    use_one_arena()
held = []
together = threading.Barrier(5)
def allocate():
    held.append(bytes(50_000))
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
together.wait()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
@pytest.mark.parametrize(("how", "is_one"), [("one", True), ("many", False)])
def test_threads_share_an_arena(how: str, is_one: bool) -> None:
    command = [sys.executable, "-c", PROGRAM, how]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert (told.count("<heap nr=") == 1) is is_one
