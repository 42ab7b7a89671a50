"""`sockwatch why`: would this bind; if not, why not, and what to do."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Final

from sockwatch.cli.command import Parser, UsageError, add_json
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import write_data, write_json
from sockwatch.cli.place import Place
from sockwatch.cli.request import NamedUid, add_request, asked_requests, verdicts_exit_code
from sockwatch.view.code_lines import LANGUAGES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sockwatch.bind import BindRequest, Verdict
    from sockwatch.bind.pair import RequestPair
    from sockwatch.cli.also_in import OtherNamespaces
    from sockwatch.view.lines import Line
    from sockwatch.view.page import Page

NAME = "why"
SUMMARY = "would bind() succeed; if not, why not, and what to do"
DESCRIPTION = "Would bind() and listen() succeed now? Nothing is bound to find out."
EPILOG = "Exits with 0 if both would succeed, 1 if not, 3 if that cannot be determined."
WIDTH: Final = 80


def add_arguments(parser: Parser) -> None:
    """The request, and ``--json``."""
    add_request(parser)
    parser.add_argument(
        "--lang-hint",
        choices=LANGUAGES,
        metavar="LANG",
        help=f"language of a line of code: {', '.join(sorted(LANGUAGES))}",
    )
    parser.set_defaults(evidence=True)
    add_json(parser)


def run(options: argparse.Namespace) -> ExitCode:
    """Print the answers; the exit code sums them up. Raises UsageError, KernelError."""
    from sockwatch.cli.also_in import OtherNamespaces

    is_far = options.source is not None or options.host is not None
    verdicts: list[Verdict] = []
    documents = []
    with Place(None if is_far else options.netns) as place:
        requests = asked_requests(options, place)
        is_narrow = is_far or place.netns is not None
        others = OtherNamespaces([] if is_narrow else [request for request, _ in requests])
        pages = _far_pages(requests, options) if is_far else _pages(requests, place, options)
        for index, page in enumerate(pages):
            verdicts += [each.verdict for each in (page.answer, page.also) if each is not None]
            if options.json:
                from sockwatch.cli.document import page_document

                also_in, gaps = others.with_port(page.request), others.gaps(page.request)
                documents.append(page_document(page, also_in, gaps))
                continue
            text = "".join(f"{line}\n" for line in _lines(page, options))
            write_data(f"\n{text}" if index else text)
            write_data("".join(f"{line}\n" for line in _elsewhere(page.request, others)))
    if options.json:
        from sockwatch.cli.document import pages_document

        document = pages_document(documents)
        write_json(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return verdicts_exit_code(verdicts)


def _pages(
    requests: Sequence[RequestPair], place: Place, options: argparse.Namespace
) -> Iterator[Page]:
    """The answer to each request, and to the same request for its other address."""
    from dataclasses import replace

    from sockwatch.cli.look import take_snapshots
    from sockwatch.view.page import Page

    # The kernel chooses port 0 from all of them.
    ports = (request.port or None for request, _ in requests)
    snapshots = take_snapshots(ports, place, debug=options.debug)
    for (request, also), snapshot in zip(requests, snapshots, strict=True):
        yield replace(Page.about(request, snapshot, also), is_outside=place.netns is not None)


def _far_pages(requests: Sequence[RequestPair], options: argparse.Namespace) -> Iterator[Page]:
    """The same from a document; a host is asked for the one port, of which it then tells more.

    Raises UsageError for a user of this host.
    """
    from dataclasses import replace

    from sockwatch.cli.source import one_look
    from sockwatch.view.page import Page

    if isinstance(options.uid, NamedUid) and options.uid != 0:
        raise UsageError("--uid: users of another host have other numbers; type the number there")
    ports = {request.port for request, _ in requests}
    port = ports.pop() if len(ports) == 1 else 0
    carried = one_look(options, (str(port),) if port else ())
    for request, also in requests:
        page = Page.about(request, carried.own, also)
        yield replace(page, is_outside=carried.is_outside)


def _lines(page: Page, options: argparse.Namespace) -> Iterator[str]:
    from sockwatch.view.lines import wrapped
    from sockwatch.view.page import evidence_lines, page_lines

    lines = page_lines(page, options.lang_hint or page.language)
    if options.evidence:
        lines = chain(lines, evidence_lines(page))
    for line in wrapped(lines, WIDTH):
        if line.kind == "section":
            yield ""
        yield str(line)


def _elsewhere(request: BindRequest, others: OtherNamespaces) -> Iterator[Line]:
    """The lines below the answer."""
    from sockwatch.view.also_in import also_in_lines
    from sockwatch.view.lines import Line, wrapped
    from sockwatch.view.names import gap_text
    from sockwatch.view.page import labelled

    lines = [*also_in_lines(request, others.with_port(request) or (), WIDTH)]
    lines += [labelled("not seen", Line("warning", gap_text(g))) for g in others.gaps(request)]
    yield from wrapped(lines, WIDTH)
