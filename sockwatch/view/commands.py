"""What a process runs, in few words: ``python3 -m http.server 8080``, ``java shop.jar``.

A process may write anything in its command line and its name: only the executable is the kernel's
word. Where argv[0] names another program than that, the base name of the executable takes its
place; if a title is all there is, it follows in parentheses: ``python3 (sshd: root)``. Believed are
the names of known servers that are scripts, which tell more than ``python3`` and are no other
program, and everything where the executable may not be read. Show ``name(pid)`` beside a command.
"""

from __future__ import annotations

import re
from functools import lru_cache
from os.path import basename
from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.bind.programs import MULTI_CALL
from sockwatch.text import clean
from sockwatch.view.interpreters import SHELLS, script_of, without_version

if TYPE_CHECKING:
    from sockwatch.model import Process

COMM_BYTES: Final = 15  # the kernel keeps no more of a name: TASK_COMM_LEN
# Servers, and what starts them, that are scripts of an interpreter.
SCRIPTS: Final = frozenset(
    {"celery", "daphne", "flask", "gunicorn", "hypercorn", "streamlit", "supervisord", "uvicorn"}
    | {"jupyter", "jupyter-lab", "jupyter-notebook", "jupyter-server", "waitress-serve"}
    | {"http-server", "next", "next-server", "nodemon", "npm", "npx", "nuxt", "pm2", "pnpm"}
    | {"serve", "ts-node", "tsx", "vite", "webpack", "yarn"}
    | {"jekyll", "puma", "rackup", "rails", "sidekiq", "thin", "unicorn", "plackup", "starman"}
)


class _Written(NamedTuple):
    command: str
    short: str


def command_words(process: Process) -> str:
    """The command without folder and options of its interpreter: ``gunicorn -w 3 shop:app``.

    A title that a program has given itself stays: ``nginx: master process nginx``. Where the words
    of the command line are unknown, the whole of it, or else the name of the process.
    """
    if not process.arguments:
        return process.command or process.name
    return _written(process.name, process.executable, process.arguments).command


def short_command(process: Process) -> str:
    """What tells the process from others of its interpreter, ``node server.js``; else its name."""
    return _written(process.name, process.executable, process.arguments).short


def program_name(name: str, executable: str | None) -> str:
    """The name of a process, where the executable, a path, allows it; else the latter's."""
    if name in SCRIPTS or _may_be_called(name, executable):
        return name
    return _shortened(basename(executable or ""))


@lru_cache(maxsize=4096)
def _written(name: str, executable: str | None, arguments: tuple[str, ...]) -> _Written:
    if not any(arguments):
        own_name = program_name(name, executable)
        return _Written(own_name, own_name)
    first, *rest = arguments
    if not rest and first != executable:
        return _of_title(name, executable, first.strip())
    called = basename(first).removeprefix("-") or name  # a login shell has a dash
    program = called if _may_be_called(called, executable) else basename(executable or "")
    script = script_of(program, tuple(rest))
    if script is None:
        return _Written(clean(" ".join([program, *rest])), program_name(name, executable))
    if script.words and (server := basename(script.words[0])) in SCRIPTS:
        return _Written(clean(" ".join([server, *script.words[1:]])), server)
    program = _shortened(program)
    command = " ".join([program, *script.words])
    return _Written(clean(command), clean(f"{program} {script.short}".rstrip()))


def _of_title(name: str, executable: str | None, title: str) -> _Written:
    """Of a single argument: the path of a program, or what a program calls itself."""
    first, _, rest = title.partition(" ")
    called = basename(first).removeprefix("-")
    if first.startswith(("/", "-")):
        title = f"{called} {rest}".strip()
    called = called.rstrip(":")
    if called in SCRIPTS:
        return _Written(title, called)
    if _may_be_called(called, executable):
        return _Written(title or name, program_name(name, executable))
    program = _shortened(basename(executable or ""))
    written = clean(f"{program} ({title})" if title else program)
    return _Written(written, written)


def _may_be_called(name: str, executable: str | None) -> bool:
    """Whether the program goes by that name too, so that nobody takes it for another one."""
    if executable is None:
        return True
    program = basename(executable)
    if program in MULTI_CALL or not re.search("[a-zA-Z]", program):  # its name is a version
        return True
    if len(name.encode()) >= COMM_BYTES and program.startswith(name):
        return True
    one, other = without_version(name), without_version(program)
    return one == other or {one, other} <= SHELLS or {one, other} == {"node", "nodejs"}


def _shortened(program: str) -> str:
    """``python3`` for ``python3.11``."""
    return re.sub(r"(?<=\d)\.[.\d]+t?$", "", program)
