"""The terminal: drawn on as standard output, given back while the process is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


class TerminalDriver(LinuxDriver):
    """Textual's driver, but for two things.

    It draws on standard output, as textual does on standard error, which may be a log. Ctrl-Z and
    SIGTSTP stop the process, and SIGCONT draws the screen again. Both are handled in the event
    loop: textual's handlers may interrupt the very code that they call, and they draw nothing.
    """

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        assert sys.__stdout__ is not None
        self._file = open(  # noqa: SIM115 - as long as the app draws
            sys.__stdout__.fileno(),
            "w",
            encoding=sys.__stdout__.encoding,
            errors="replace",
            closefd=False,
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTSTP, self._stop)
        loop.add_signal_handler(signal.SIGCONT, self._continue)

    def suspend_process_group(self) -> None:
        """Stop as the terminal would have it: with the sudo or script that started the process."""
        if os.getpid() == 1:  # the first process of a container cannot stop itself
            return
        self._release()  # before the shell, which hears of the others first, takes the terminal
        os.killpg(os.getpgrp(), signal.SIGTSTP)

    def _stop(self) -> None:
        self._release()
        os.kill(os.getpid(), signal.SIGSTOP)

    def _continue(self) -> None:
        self._release()  # after a SIGSTOP, which cannot be handled, it is still held
        self.resume_application_mode()  # in the background, this stops the process again
        self._app.refresh(layout=True)

    def _release(self) -> None:
        if self._key_thread is not None and self._key_thread.is_alive():
            self.suspend_application_mode()
