"""`sockwatch metrics`: what is exported, once."""

from __future__ import annotations

import argparse
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from sockwatch.cli.command import Parser, UsageError
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import write_data
from sockwatch.model import SockwatchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from sockwatch.export.families import Published
    from sockwatch.model import HostSnapshot

    Looked = tuple[HostSnapshot, Published | None]

NAME = "metrics"
SUMMARY = "metrics for Prometheus, once"
DESCRIPTION = """\
Print metrics of the listeners of this host, once, as Prometheus reads them.
With --output, write them to a file that is whole at each moment, as the
textfile collector of node_exporter wants it."""
EPILOG = """\
Failed calls are counted by `sockwatch export` alone.

Another host, by a Pushgateway:
  sockwatch --host web-1 metrics |
  curl --data-binary @- http://GATEWAY:9091/metrics/job/sockwatch/instance/web-1
"""
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

    age_s = None
    if options.source is not None or options.host is not None:
        (host, published), age_s = _far_look(options)
    else:
        with ExitStack() as stack:
            host, published = looker(stack, all_netns=options.all_netns)()
    took_s = sum(one.took_s for one in host.snapshots)
    health = health_families(Health(None, None, took_s, age_s), (ExportGap.FAILED_BINDS_UNWATCHED,))
    families = Exporter(__version__, is_once=True).families(host, published)
    text = text_of(merged((*families, *health)))
    if options.output is None:
        write_data(text.decode())
    else:
        write_file(options.output, text)
    return ExitCode.YES


def _far_look(options: argparse.Namespace) -> tuple[Looked, float | None]:
    """What a document has, and its age; None where that is unknown."""
    import time

    from sockwatch.cli.source import whole_look
    from sockwatch.model import HostSnapshot

    carried = whole_look(options)
    host = carried.seen if options.all_netns else HostSnapshot((carried.own,))
    age_s = time.time() - carried.own.time
    return (host, None), age_s if age_s >= 0 else None


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
    """Replace the file at once, or leave it as it is. Raises UsageError, SockwatchError."""
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        _check_replaceable(path)
        with suppress(FileNotFoundError):
            os.unlink(beside)  # of an earlier run with this pid, which was killed
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


def _check_replaceable(path: str) -> None:
    """Raises UsageError for a device, a link and the like: a file would take its place."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise UsageError(f"--output {path!r} is there and no regular file; name another one")
