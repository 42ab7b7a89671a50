"""Run a command and print its wall and CPU seconds and its peak memory in bytes, as JSON.

Run as a script by an interpreter without site packages: the memory of whoever starts a process
counts towards the peak that the kernel tells of it, so this one keeps small.
"""

import json
import os
import sys
import time


def main() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        try:
            os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
        finally:
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    print(
        json.dumps(
            {
                "wall_s": time.perf_counter() - started,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * 1024,
                "code": os.waitstatus_to_exitcode(status),
            }
        )
    )


if __name__ == "__main__":
    main()
