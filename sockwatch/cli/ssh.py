"""The system's ssh(1), which runs `sockwatch snapshot` on another host.

Keys, names and known hosts are its business, by the user's own ssh_config(5).
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final

from sockwatch.cli.command import UsageError
from sockwatch.cli.isolation import callers_environment
from sockwatch.model import SockwatchError
from sockwatch.text import clean

LINE: Final = 400  # characters of what ssh says in the end
NOT_FOUND: Final = 127  # of sh(1)
END_S: Final = 2.0


def ssh_command(host: str, program: str, words: Sequence[str]) -> list[str]:
    """The words to run; `program` is a part of a shell's command line, as the user typed it.

    Raises UsageError for what may not be a host: ssh would take it for an option.
    """
    if not host or host.startswith("-") or not host.isprintable() or " " in host:
        raise UsageError(f"{clean(host, 40)!r} is no host; type --host USER@HOST")
    return ["ssh", "-T", "-C", "--", host, f"{program} {shlex.join(words)}"]


class Ssh:
    """A running one; `stdout` is a file descriptor."""

    def __init__(self, host: str, program: str, words: Sequence[str]) -> None:
        """Raises UsageError for what is no host, SockwatchError where ssh cannot be run."""
        self._host = host
        command = ssh_command(host, program, words)
        executable = shutil.which(command[0])
        if executable is None:
            raise SockwatchError("ssh is not installed here; install openssh-client")
        try:
            self._process = subprocess.Popen(
                command,
                executable=executable,
                env=callers_environment(),  # for a ProxyCommand of ssh_config(5)
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise SockwatchError(f"cannot run ssh: {error.strerror}") from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdout = self._process.stdout.fileno()
        self._said = ""
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stderr,), name="sockwatch-ssh", daemon=True
        )
        self._listener.start()

    def close(self) -> None:
        """End it; what it runs there ends when it writes next."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def why_ended(self) -> str:
        """What it, or the program there, said last; called once its output has ended."""
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            return "its output has ended"
        self._listener.join(END_S)
        if code == NOT_FOUND:
            return "it finds no sockwatch there; --host-command says what starts it"
        said = self._said.removeprefix("sockwatch: ")
        return said or f"ssh has ended with exit code {code}"

    def _listen(self, stderr: IO[bytes]) -> None:
        while line := stderr.readline(LINE):
            if text := clean(line, LINE).strip():
                self._said = text
