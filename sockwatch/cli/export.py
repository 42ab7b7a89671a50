"""`sockwatch export`: metrics over HTTP."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from sockwatch.cli.command import Parser, UsageError
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.export_listen import DEFAULT, listen
from sockwatch.cli.metrics import add_all_netns, looker
from sockwatch.cli.output import narrate, write_data
from sockwatch.model import SockwatchError, shortage

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from sockwatch.export.families import ExportGap
    from sockwatch.export.model import Family
    from sockwatch.watch import FailureWatch
    from sockwatch.watch.looks import LastLook

NAME = "export"
SUMMARY = "metrics for Prometheus over HTTP, with counts of failed calls"
DESCRIPTION = f"""\
Serve metrics of the listeners of this host at /metrics, on {DEFAULT}
unless --listen says where. As root, bind() and listen() calls that fail are
counted too, by errno, cause and unit, from the start on."""
EPILOG = """\
It looks when it is asked, at most once a second. SIGTERM ends it."""
DATA: Final = {
    "rules": "rules.yml",
    "dashboard": "dashboard.json",
    "units": "units.txt",
}
TIMEOUT_S: Final = 5.0  # of a look: half of what Prometheus waits for a scrape


def add_arguments(parser: Parser) -> None:
    """Where it listens, TLS, ``--all-netns`` and ``--print``."""
    parser.add_argument(
        "--listen", metavar="WHERE", help=f"ADDRESS:PORT or the path of a socket ({DEFAULT})"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="serve TLS with this certificate")
    parser.add_argument("--tls-key", metavar="FILE", help="the key of the certificate")
    parser.add_argument(
        "--client-ca", metavar="FILE", help="answer only clients with a certificate of this CA"
    )
    add_all_netns(parser)
    parser.add_argument(
        "--print",
        dest="data",
        choices=list(DATA),
        metavar="WHAT",
        help=f"print what goes with it, and exit: {', '.join(DATA)}",
    )


def run(options: argparse.Namespace) -> ExitCode:
    """Serve until SIGTERM or SIGINT. Raises UsageError, SockwatchError."""
    if options.data is not None:
        write_data(data_text(options.data))
        return ExitCode.YES
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a client that has gone ends nothing
    # Before any thread starts, so that all have them blocked and this one alone takes them.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        return _serve(options, ends)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)


def data_text(what: str) -> str:
    """What ``--print`` prints; the units start this very sockwatch."""
    import shlex
    from importlib.resources import files

    from sockwatch.kernel.facts import own_command

    text = (files("sockwatch.export") / "data" / DATA[what]).read_text(encoding="utf-8")
    return text.replace("ExecStart=SOCKWATCH", f"ExecStart={shlex.join(own_command())}")


def _serve(options: argparse.Namespace, ends: set[signal.Signals]) -> ExitCode:
    from sockwatch.cli.export_server import serve

    page = _page(options)
    tls = _tls(options)
    listening = listen(
        options.listen, is_tls=tls is not None, is_client_asked=options.client_ca is not None
    )
    narrate(f"serving {listening.where} to {listening.who}")
    threading.Thread(target=serve, args=(listening.sock, page, tls), daemon=True).start()
    ended_by = signal.sigwait(ends)
    listening.end()
    # Threads may be in the middle of a look; the kernel takes back all that they hold.
    os._exit(ExitCode.INTERRUPTED if ended_by == signal.SIGINT else ExitCode.YES)


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        if options.tls_key or options.client_ca:
            raise UsageError("--tls-key and --client-ca need a certificate: --tls-cert FILE")
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key, password=_no_password)
        if options.client_ca:
            context.load_verify_locations(options.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        text = (isinstance(error, OSError) and error.strerror) or str(error)
        raise SockwatchError(f"cannot read the certificates: {text}") from error
    return context


def _no_password() -> str:
    """Nobody is there to be asked."""
    raise ValueError("the key has a password; take it away: openssl pkey -in KEY -out FILE")


def _page(options: argparse.Namespace) -> Callable[[str], tuple[str, bytes]]:
    """What answers a request; looks, and the watch for failures, have threads of their own."""
    from sockwatch import __version__
    from sockwatch.export.exposition import Writer
    from sockwatch.export.families import Exporter, ExportGap, merged
    from sockwatch.watch.looks import Looks

    exporter, stack = Exporter(__version__), ExitStack()
    look: Callable[[], tuple[Family, ...]] | None = None

    def families() -> tuple[Family, ...]:
        nonlocal look
        if look is None:  # in the thread that looks
            take = looker(stack, all_netns=options.all_netns)
            look = lambda: exporter.families(*take())  # noqa: E731
        return look()

    looks, writer, failed = Looks(families), Writer(), FailedCalls()
    said: str | None = None

    def page(accept: str) -> tuple[str, bytes]:
        nonlocal said
        last = looks.latest(TIMEOUT_S)
        if last.error not in (None, said):
            narrate(f"a look has failed: {last.error}")
        said = last.error
        counted = failed.families()
        gaps = [ExportGap.FAILED_BINDS_UNWATCHED] if counted is None else []
        return writer.negotiated(
            merged((*(last.seen or ()), *_health(last, gaps), *(counted or ()))), accept
        )

    return page


def _health(last: LastLook[tuple[Family, ...]], gaps: list[ExportGap]) -> tuple[Family, ...]:
    from sockwatch.export.families import ExportGap as Gaps
    from sockwatch.export.families import health_families
    from sockwatch.export.model import Health

    blind = [Gaps.NO_LOOK] if last.seen is None else []
    health = Health(last.looks, last.errors, last.took_s, last.age_s)
    return health_families(health, [*gaps, *blind])


class FailedCalls:
    """Counts them in a thread, where this user and this host let them be watched."""

    def __init__(self) -> None:
        from sockwatch.export.failed_binds import FailedBinds
        from sockwatch.kernel.bpf.errors import BpfUnavailable
        from sockwatch.watch import FailureWatch, refusal

        self._counts = FailedBinds()
        self._watch: FailureWatch | None = None
        try:
            self._watch = FailureWatch()
        except BpfUnavailable as error:
            narrate(f"failed calls are not counted: {refusal(error)}")
            return
        threading.Thread(target=self._count, args=(self._watch,), daemon=True).start()

    def families(self) -> tuple[Family, ...] | None:
        """What was counted; None where nothing counts."""
        watch = self._watch
        return None if watch is None else self._counts.families(watch.lost)

    def _count(self, watch: FailureWatch) -> None:
        try:
            while True:
                self._counts.add(watch.wait())
        except Exception as error:  # noqa: BLE001 - the rest goes on, and says what is missing
            self._watch = None
            why = shortage(error) or f"{type(error).__name__}: {error}"
            narrate(f"failed calls are counted no more: {why}")
