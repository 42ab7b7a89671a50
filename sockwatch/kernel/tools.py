"""Programs of the system that are asked for what no file shows, run with limits."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sockwatch.readable import readable

if TYPE_CHECKING:
    import subprocess

# Not the user's PATH: root may have started us from anywhere.
FOLDERS: Final = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/run/current-system/sw/bin"
LIMIT_S: Final = 1.0
MOST_BYTES: Final = 16 << 20
EXIT_S: Final = 0.1  # a process that was killed ends within it, unless the kernel is stuck
NO_GROUP: Final = 65534  # of a program that runs as another user


class ToolError(Exception):
    """The program gave no whole answer; the message says why."""


class MissingToolError(ToolError):
    """It is not installed."""


def run(
    *command: str,
    until: float,
    uid: int | None = None,
    environment: Mapping[str, str] | None = None,
    most_bytes: int = MOST_BYTES,
) -> bytes:
    """What the command prints, in the network namespace of this thread. Raises ToolError.

    `until` is of time.monotonic(). `uid` is the user it runs as, without groups; None means ours.
    """
    import subprocess  # noqa: PLC0415 - most answers need no program

    process = start(
        command, folders=FOLDERS, stderr=subprocess.DEVNULL, environment=environment, uid=uid
    )
    try:
        output = _read(process, command[0], until, most_bytes)
        status = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{command[0]} did not answer in time") from error
    finally:
        _end(process)
    if status:
        raise ToolError(f"{command[0]} failed with status {status}")
    return output


def start(
    command: Sequence[str],
    *,
    folders: str,
    stderr: int,
    environment: Mapping[str, str] | None = None,
    uid: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start the command: no shell, no stdin, its stdout a pipe. Raises ToolError.

    `folders` are where programs are looked for, `stderr` is that of Popen, `uid` is as in run().
    """
    import shutil  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    program = shutil.which(command[0], path=folders)
    if program is None:
        raise MissingToolError(f"{command[0]} is not installed")
    options: dict[str, Any] = {}
    if uid not in (None, os.geteuid()):
        options = {"user": uid, "group": NO_GROUP, "extra_groups": ()}
    try:
        return subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={"PATH": folders, "LC_ALL": "C", **(environment or {})},
            cwd="/",
            start_new_session=True,  # the terminal's signals are not for it
            **options,
        )
    except OSError as error:
        raise ToolError(f"{command[0]} could not be started: {error.strerror}") from error


def _read(process: subprocess.Popen[bytes], name: str, until: float, most_bytes: int) -> bytes:
    assert process.stdout is not None
    fd = process.stdout.fileno()
    output = bytearray()
    while (left_s := until - time.monotonic()) > 0 and readable([fd], left_s):
        part = os.read(fd, 1 << 16)
        if not part:
            return bytes(output)
        output += part
        if len(output) > most_bytes:
            raise ToolError(f"{name} prints more than {most_bytes >> 20} MiB")
    raise ToolError(f"{name} did not answer in time")


def _end(process: subprocess.Popen[bytes]) -> None:
    import subprocess  # noqa: PLC0415

    assert process.stdout is not None
    process.stdout.close()
    if process.poll() is None:
        process.kill()
        try:
            process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            return  # a later Popen reaps it
