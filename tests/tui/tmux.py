"""sockwatch, or a shell, in a terminal of tmux: keys go in, the screen comes out as text."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
PAUSE_S = 0.02  # tmux tells nobody when its screen changes


def tmux_is_there() -> bool:
    """Whether tmux is installed."""
    return shutil.which("tmux") is not None


class Tmux:
    """A server of tmux of its own; use as a context manager."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        size: tuple[int, int] = (80, 24),
        program: tuple[str, ...] = (sys.executable, "-m", "sockwatch"),
    ) -> None:
        self._socket = str(folder / "tmux")
        columns, rows = map(str, size)
        command = [*program, *arguments]
        environment = os.environ | {"TERM": "xterm-256color"}
        environment.pop("TMUX", None)
        subprocess.run(
            ["tmux", "-S", self._socket, "-f", os.devnull, "new-session", "-d", "-x", columns,
             "-y", rows, *command],
            check=True, cwd=ROOT, env=environment,
        )  # fmt: skip
        self.pid = int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(
            ["tmux", "-S", self._socket, "kill-server"], check=False, capture_output=True
        )

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def press(self, *keys: str) -> None:
        """Send keys by tmux's names."""
        self._tmux("send-keys", *keys)

    @property
    def screen(self) -> str:
        """The text on the screen."""
        return self._tmux("capture-pane", "-p")

    def wait_for(self, *texts: str) -> None:
        """Until the screen shows all of them."""
        wait_until(
            lambda: all(text in self.screen for text in texts),
            lambda: f"not all of {texts} in\n{self.screen}",
            PAUSE_S,
        )

    def descendants(self) -> list[psutil.Process]:
        """The processes that sockwatch has started."""
        return psutil.Process(self.pid).children(recursive=True)
