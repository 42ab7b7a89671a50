"""`sockwatch metrics`: what is exported, once."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sockwatch.cli.command import Parser
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import write_data
from sockwatch.model import SockwatchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from sockwatch.export.families import Published
    from sockwatch.model import HostSnapshot

    Looked = tuple[HostSnapshot, Published]

NAME = "metrics"
SUMMARY = "metrics for Prometheus, once"
DESCRIPTION = """\
Print metrics of the listeners of this host, once, as Prometheus reads them.
With --output, write them to a file that is whole at each moment, as the
textfile collector of node_exporter wants it."""
EPILOG = "Failed calls are counted by `sockwatch export` alone."
READABLE = 0o644  # by the user that node_exporter runs as


def add_arguments(parser: Parser) -> None:
    """``--output`` and ``--all-netns``."""
    parser.add_argument("--output", metavar="FILE", help="write to FILE; its name ends with .prom")
    add_all_netns(parser)


def add_all_netns(parser: Parser) -> None:
    """``--all-netns``."""
    parser.add_argument(
        "--all-netns", action="store_true", help="of every network namespace of the host"
    )


def run(options: argparse.Namespace) -> ExitCode:
    """Print or write them. Raises SockwatchError where that fails."""
    from contextlib import ExitStack

    from sockwatch import __version__
    from sockwatch.export.exposition import text_of
    from sockwatch.export.families import Exporter, ExportGap, health_families, merged
    from sockwatch.export.model import Health

    with ExitStack() as stack:
        host, published = looker(stack, all_netns=options.all_netns)()
    took_s = sum(one.took_s for one in host.snapshots)
    health = health_families(Health(None, None, took_s, None), (ExportGap.FAILED_BINDS_UNWATCHED,))
    text = text_of(merged((*Exporter(__version__).families(host, published), *health)))
    if options.output is None:
        write_data(text.decode())
    else:
        write_file(options.output, text)
    return ExitCode.YES


def looker(stack: ExitStack, *, all_netns: bool) -> Callable[[], Looked]:
    """What takes a look; it and the stack belong to one thread."""
    from sockwatch.kernel.netfilter.reader import RedirectReader
    from sockwatch.model import HostSnapshot

    if all_netns:
        from sockwatch.kernel.netns.survey import Survey

        take = stack.enter_context(Survey()).take
    else:
        from sockwatch.kernel.snapshot import SnapshotReader

        reader = stack.enter_context(SnapshotReader())

        def take() -> HostSnapshot:
            return HostSnapshot((reader.take(),))

    redirects = RedirectReader()

    def look() -> Looked:
        host = take()
        published, gaps = redirects.redirected_ports()
        return host._replace(gaps=(*host.gaps, *gaps)), published

    return look


def write_file(path: str, text: bytes) -> None:
    """Replace the file at once, or leave it as it is. Raises SockwatchError."""
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, READABLE)
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, READABLE)
                file.write(text)
                file.flush()
                os.fsync(fd)
            os.rename(beside, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside)
            raise
    except OSError as error:
        raise SockwatchError(f"cannot write {path!r}: {error.strerror}") from error
