"""Start the screens."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from typing import Final

from sockwatch.kernel.allocator import use_one_arena
from sockwatch.tui.background import Question
from sockwatch.tui.first_look import HostReader
from sockwatch.tui.namespaces import HostNamespaces
from sockwatch.tui.options import Options
from sockwatch.tui.watched import FarHost, Namespaces, Take

THREADS: Final = 5  # textual's two, the one that polls, the first look and its helper
ANSWER_S: Final = 0.1  # how long the terminal may keep the screens waiting
CRASHED: Final = 3  # as every command that could not determine its answer


def run(options: Options, take: Take | None = None, far: FarHost | None = None) -> int:
    """Show the screens until the user quits; returns the exit code. `far` is another host.

    Raises RuntimeError where their threads cannot be started.
    """
    use_one_arena()
    _check_threads()
    take_each_port: Take | None = None
    namespaces: Namespaces | None = None
    if far is not None:
        take, namespaces = far.take, far.namespaces
    elif take is None:
        reader = HostReader()
        take, take_each_port, namespaces = reader.take, reader.take_each_port, HostNamespaces()
    asks = options.theme == "auto" and not os.environ.get("TEXTUAL_THEME")
    question = Question() if asks else None
    try:
        # Textual takes 190 ms to import, so nothing at the top of this module imports it.
        from sockwatch.tui.app import SockwatchApp  # noqa: PLC0415
        from sockwatch.tui.symbols import draws_unicode  # noqa: PLC0415

        if not draws_unicode(sys.stdout.encoding):
            options = replace(options, ascii=True)
        if options.ascii:
            options = replace(options, language="en")
        if question is not None and question.answer(ANSWER_S):
            options = replace(options, theme="light")
        app = SockwatchApp(
            options,
            take,
            take_each_port=take_each_port,
            namespaces=namespaces,
            question=question,
            far=far,
        )
        app.run(mouse=options.mouse)
    finally:
        if question is not None:
            question.close()
    app.act_threads.join()
    app.labs.join()
    return CRASHED if app.crashed else app.return_code or 0


def _check_threads() -> None:
    """Start as many threads as the screens need, before the terminal is touched."""
    done = threading.Event()
    threads: list[threading.Thread] = []
    try:
        for _ in range(THREADS):
            thread = threading.Thread(target=done.wait, name="sockwatch-check", daemon=True)
            thread.start()
            threads.append(thread)
    finally:
        done.set()
        for thread in threads:
            thread.join()
