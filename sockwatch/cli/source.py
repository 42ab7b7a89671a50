"""Another source than the kernel: a document of `sockwatch snapshot`, or a stream of them."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from sockwatch.cli.command import Parser, UsageError
from sockwatch.cli.output import narrate
from sockwatch.model import SockwatchError
from sockwatch.text import NAME_LIMIT, clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from sockwatch.cli.ssh import Ssh
    from sockwatch.export.carried import Carried
    from sockwatch.model import Snapshot

STDIN: Final = "-"
PROGRAM: Final = "sockwatch"
# Each value may be in its range, and yet no host can be so.
CONTRADICTION: Final = "what the document says does not fit together"
READERS: Final = ("ports", "why", "metrics")  # besides the screen: what may have another source


def add_source(parser: Parser, default: Any = None) -> None:
    """Add ``--from``, ``--host`` and ``--host-command``."""
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        default=default,
        help="show what a document of sockwatch snapshot has; - is standard input",
    )
    parser.add_argument(
        "--host",
        metavar="USER@HOST",
        default=default,
        help="show another host: run sockwatch snapshot there, by ssh",
    )
    parser.add_argument(
        "--host-command",
        metavar="COMMAND",
        default=default,
        help="what starts sockwatch there, such as 'sudo -n sockwatch'",
    )


def check_source(options: argparse.Namespace) -> None:
    """Raises UsageError where there is none for this command."""
    if options.host_command is not None and options.host is None:
        raise UsageError("--host-command says how sockwatch starts on a host; type --host too")
    if options.source is None and options.host is None:
        return
    if options.source is not None and options.host is not None:
        raise UsageError("--from and --host name two sources; type one")
    if options.command not in (None, *READERS):
        raise UsageError(
            f"{options.command} is for this host: it takes neither --from nor --host; "
            "ports, why, metrics and the screen do"
        )
    if options.source is not None and getattr(options, "netns", None) is not None:
        raise UsageError(
            "--netns is said where the document is written: sockwatch snapshot --netns WHICH"
        )


class Source:
    """Where documents come from. Use it as a context manager, from one thread.

    `name` is the host's as the user typed it; None for a document, which says it itself.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        words: Sequence[str] = (),
        stdin: int | None = None,
    ) -> None:
        """`words` are what sockwatch is told on the host; `stdin` is what ``-`` stands for, else 0.

        Raises UsageError for what cannot be opened, SockwatchError where ssh cannot be run.
        """
        from sockwatch.cli.documents import Documents

        self.name: str | None = options.host
        self._ssh: Ssh | None = None
        self._fd: int | None = None
        if options.host is not None:
            from sockwatch.cli.ssh import Ssh

            self._ssh = Ssh(options.host, options.host_command or PROGRAM, ("snapshot", *words))
            fd = self._ssh.stdout
        elif options.source == STDIN:
            fd = _stdin() if stdin is None else stdin
        else:
            fd = self._fd = _opened(options.source)
        self._documents = Documents(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ssh is not None:
            self._ssh.close()
        if self._fd is not None:
            os.close(self._fd)

    def next(self) -> Carried | None:
        """The next document, of another host; None at the end.

        Raises SockwatchError for what is none.
        """
        from sockwatch.export.carried import CutOffError

        try:
            carried = self._documents.next()
        except CutOffError as error:
            if self._ssh is None:
                raise
            raise SockwatchError(f"{error}; {self.name}: {self._ssh.why_ended()}") from None
        if carried is None:
            return None
        name = self.name or carried.host
        snapshots = tuple(
            _foreign(each, clean(name, NAME_LIMIT)) for each in carried.seen.snapshots
        )
        return carried._replace(seen=carried.seen._replace(snapshots=snapshots))

    def first(self) -> Carried:
        """The first document. Raises SockwatchError where there is none."""
        carried = self.next()
        if carried is None:
            raise SockwatchError(f"nothing came{self.why_ended()}")
        return carried

    def why_ended(self) -> str:
        """`` from web-1: Permission denied (publickey).``, once there is no next one."""
        if self._ssh is None:
            return ": the document is empty" if self._fd is not None else " on standard input"
        return f" from {self.name}: {self._ssh.why_ended()}"


def one_look(options: argparse.Namespace, words: Sequence[str] = ()) -> Carried:
    """What the one document, or the first of several, has; its origin is narrated.

    `words` are as for Source. Raises UsageError, SockwatchError.
    """
    if options.host is not None and getattr(options, "netns", None) is not None:
        words = ("--netns", options.netns, *words)
    with Source(options, words) as source:
        carried = source.first()
    narrate(provenance(carried))
    return carried


def whole_look(
    options: argparse.Namespace, words: Sequence[str] = (), *, only: int | None = None
) -> Carried:
    """The same of all ports, or of the one port `only`; with ``--all-netns``, of all namespaces.

    Raises SockwatchError where the document has less than that.
    """
    carried = one_look(options, [*words, *(["--all-netns"] if options.all_netns else [])])
    port = carried.own.only_port
    if port not in (None, only):
        advice = "type that port" if options.command == "ports" else "this needs one of all ports"
        raise SockwatchError(f"the document is of port {port} alone; {advice}")
    if options.all_netns and not carried.is_wide:
        raise SockwatchError(
            "the document is of one network namespace; sockwatch snapshot --all-netns has them all"
        )
    return carried


def provenance(carried: Carried) -> str:
    """``on web-1, 3 s ago, by sockwatch 0.1.0``."""
    from sockwatch.units import spoken_duration

    own = carried.own
    age_s = time.time() - own.time
    when = f"{spoken_duration(age_s)} ago" if age_s >= 0 else "by a clock ahead of ours"
    return f"on {own.on_host}, {when}, by sockwatch {carried.version}"


def _foreign(snapshot: Snapshot, name: str) -> Snapshot:
    from dataclasses import replace

    return replace(snapshot, on_host=name, host=clean(snapshot.host, NAME_LIMIT))


def _stdin() -> int:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "--from - reads from a pipe: ssh HOST sockwatch snapshot | sockwatch --from -"
        )
    return sys.stdin.fileno()


def _opened(name: str) -> int:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"--from {clean(name)}: {what}") from None
    return fd
