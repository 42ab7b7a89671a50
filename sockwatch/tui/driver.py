"""The terminal: drawn on as standard output, given back while the process is stopped."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from sockwatch.tui.messages import BackgroundSeen

if TYPE_CHECKING:
    from sockwatch.tui.app import SockwatchApp
    from sockwatch.tui.replies import Replies

_PAUSE_S = 0.1  # as long as textual waits for the rest of a key's bytes
_HELD_S = 0.02  # for the rest of a late reply: a lone Escape is held too, which is to stay a key


class TerminalDriver(LinuxDriver):
    """Textual's driver, but for three things.

    It draws on standard output, as textual does on standard error, which may be a log. Ctrl-Z and
    SIGTSTP stop the process, and SIGCONT draws the screen again. Both are handled in the event
    loop: textual's handlers may interrupt the very code that they call, and they draw nothing.
    What was typed while the terminal was asked for its background comes first, and its late
    replies are no keys.
    """

    def __init__(self, app: SockwatchApp, **options: Any) -> None:
        super().__init__(app, **options)
        self._question = app.question
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

    def start_application_mode(self) -> None:
        if self._question is not None:
            self._question.close()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def run_input_thread(self) -> None:
        if self._question is None:
            super().run_input_thread()
            return
        parser = XTermParser()
        decode = getincrementaldecoder("utf-8")("replace").decode
        keys, self._question.keys = self._question.keys, b""
        while True:
            if keys:
                for message in parser.feed(decode(keys)):
                    self.process_message(message)
            for message in parser.tick():
                self.process_message(message)
            if self.exit_event.is_set():
                return
            keys = self._read_keys(self._question.replies)

    def _read_keys(self, replies: Replies) -> bytes:
        pause_s = _HELD_S if replies.holds_part else _PAUSE_S
        ready = select.select([self.fileno], [], [], pause_s)[0]
        light = replies.light
        keys = replies.take(os.read(self.fileno, 4096) if ready else b"")
        if replies.light is not None and replies.light != light:
            self._app.post_message(BackgroundSeen(light=replies.light))
        return keys

    def suspend_process_group(self) -> None:
        """Stop as the terminal would have it: with the sudo or script that started the process."""
        if os.getpid() == 1:  # the first process of a container cannot stop itself
            return
        self._release()  # before the shell, which hears of the others first, takes the terminal
        os.killpg(os.getpgrp(), signal.SIGTSTP)

    def _stop(self) -> None:
        self._release()
        # SIGSTOP, as the kernel drops the default SIGTSTP of a group that no shell waits for, such
        # as that of `ssh -t HOST sockwatch`: who pressed Ctrl-Z there continues it by SIGCONT.
        os.kill(os.getpid(), signal.SIGSTOP)

    def _continue(self) -> None:
        self._release()  # after a SIGSTOP, which cannot be handled, it is still held
        self.resume_application_mode()  # in the background, this stops the process again
        self._app.refresh(layout=True)

    def _release(self) -> None:
        if self._key_thread is not None and self._key_thread.is_alive():
            self.suspend_application_mode()
