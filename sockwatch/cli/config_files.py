"""The configuration files: where they are, and whether what is there is read.

Whoever may write such a file sets options of those who read it. So root reads only what root alone
can write, and under sudo(8) and its like no file of a user.
"""

from __future__ import annotations

import os
import stat
from typing import Final, NamedTuple

from sockwatch.cli.command import UsageError
from sockwatch.kernel import expendable
from sockwatch.text import clean

NAME: Final = "sockwatch/config.toml"
SYSTEM_FOLDER: Final = "/etc"
MOST_BYTES: Final = 1 << 14  # a key of so many words takes the parser of TOML 2 s, and 250 MB
# What sudo(8) and run0(1), doas(1) and pkexec(1) tell the program that they start.
OF_ANOTHER_USER: Final = ("SUDO_UID", "DOAS_USER", "PKEXEC_UID")
WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class ConfigFile(NamedTuple):
    """`text` is None if it is not read, for the reason in `state`.

    `is_refused`: it is there, and somebody may wonder why it does not count.
    """

    path: str
    text: str | None
    state: str
    is_refused: bool = False


def config_files() -> tuple[ConfigFile, ...]:
    """The user's and the system's; the first that sets an option counts.

    Raises UsageError for one that is read and is no text.
    """
    return _user_file(), _look(f"{SYSTEM_FOLDER}/{NAME}")


def _user_file() -> ConfigFile:
    """Where the XDG Base Directory Specification has it: a relative path counts as none."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        home = os.environ.get("HOME", "")
        folder = f"{home}/.config" if os.path.isabs(home) else ""
    path = f"{folder}/{NAME}" if folder else f"$XDG_CONFIG_HOME/{NAME}"
    if not folder:
        return ConfigFile(path, None, "not read: HOME is not set")
    if (os.getuid(), os.getgid()) != (os.geteuid(), os.getegid()):
        return ConfigFile(path, None, "not read: this program is set-user-ID or set-group-ID")
    for variable in OF_ANOTHER_USER:
        if os.geteuid() == 0 and variable in os.environ:
            return ConfigFile(path, None, f"not read: {variable} is set, and this is root")
    # A home may lie on a server that does not answer.
    (looked,) = expendable.call_each((path,), _look_or_error)
    if looked.result is None:
        why = "it does not answer" if looked.was_made else "this process may start no thread"
        return ConfigFile(path, None, f"not read: {why}", is_refused=True)
    if isinstance(looked.result, UsageError):
        raise looked.result
    return looked.result


def _look_or_error(path: str) -> ConfigFile | UsageError:
    try:
        return _look(path)
    except UsageError as error:
        return error


def _look(path: str) -> ConfigFile:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a device may change it
            raise UsageError(f"{clean(path)} is not a regular file")
    except OSError as error:  # the way to it is closed to us: it is no file of ours
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return ConfigFile(path, None, "not there" if is_missing else f"not read: {error.strerror}")
    except ValueError:  # a path that no file can have
        return ConfigFile(path, None, "not there")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if why := _refusal(status):
                return ConfigFile(path, None, f"not read: {why}", is_refused=True)
            data = file.read(MOST_BYTES + 1) or b""  # None where a file of the kernel would block
    except OSError as error:
        return ConfigFile(path, None, f"not read: {error.strerror}", is_refused=True)
    if len(data) > MOST_BYTES:
        raise UsageError(f"{clean(path)} is not read: more than {MOST_BYTES} bytes")
    try:
        return ConfigFile(path, data.decode("utf-8-sig"), "read")
    except UnicodeDecodeError as error:
        raise UsageError(f"{clean(path)} is not UTF-8, at byte {error.start}") from None


def _refusal(status: os.stat_result) -> str | None:
    """Why it does not count for this user, if it does not."""
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to uid {status.st_uid}"
    if os.geteuid() == 0 and status.st_mode & WRITABLE_BY_OTHERS:
        return "others than root may write it; chmod go-w"
    return None
