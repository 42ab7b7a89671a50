"""The manual page, from the parser and from the sections of ``sections.man``."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from argparse_manpage.manpage import Manpage

from sockwatch import __version__
from sockwatch.cli.arguments import top_parser
from sockwatch.cli.command import Parser
from sockwatch.cli.dispatch import COMMANDS
from sockwatch.cli.settings import settings

SECTIONS: Final = Path(__file__).with_name("sections.man")
SUMMARY: Final = "who has a port, and why bind() fails"
OF_WORDS: Final = ("PORT ", "A FILTER ")  # the paragraphs of the epilog that explain operands
OF_EXIT_CODES: Final = "Exit codes: "


def manual_page() -> str:
    """sockwatch(1), in the macros of man(7)."""
    parser = top_parser(COMMANDS)
    paragraphs = (parser.epilog or "").strip().split("\n\n")
    words = [each for each in paragraphs if each.startswith(OF_WORDS)]
    (codes,) = (each for each in paragraphs if each.startswith(OF_EXIT_CODES))
    others = [
        each.removeprefix("Environment: ")
        for each in paragraphs
        if each != codes and each not in words
    ]
    variables = "\n".join(_variables(parser))
    usage = parser.usage or ""
    parser.epilog = None
    for command in _subparsers(parser):
        command.description = _with_epilog(command)
        command.epilog = None
    page = Manpage(
        parser,
        {
            "project_name": "sockwatch",
            "version": __version__,
            "manual_title": "User Commands",
            "description": SUMMARY,
            "include": str(SECTIONS),
        },
        format="single-commands-section",
    )
    page.add_section("synopsis", "=", "\n".join(_synopsis(usage)))
    page.add_section("operands", "=", _paragraphs(words))
    page.add_section("environment", "<", f"{_paragraphs(others)}\n{variables}\n")
    page.add_section("exit status", "=", "\n".join(_exit_status(codes)))
    page.parser._manpage.sort(key=_place)
    return _tidy(str(page))


def _place(section: dict[str, str]) -> int:
    """Sections have an order that readers know: man-pages(7)."""
    order = ("operands", "exit status", "environment", "files", "notes", "examples", "see also")
    heading = section["heading"].lower()
    return order.index(heading) if heading in order else -1


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from _subparsers(command)


def _with_epilog(command: argparse.ArgumentParser) -> str:
    return "\n.PP\n".join(filter(None, (command.description, command.epilog)))


def _synopsis(usage: str) -> Iterator[str]:
    """A line each, of the lines that continue it."""
    joined = re.sub(r"\n\s+(?=\[)", " ", usage)
    for line in joined.splitlines():
        program, *rest = line.split()
        yield f".B {_escaped(program)}"
        yield _escaped(" ".join(rest))
        yield ".br"


def _variables(parser: Parser) -> Iterator[str]:
    for setting in settings(parser):
        words = " ".join((*setting.table, f"--{setting.name}"))
        yield f".TP\n.B {setting.variable}\nsets {_escaped(words)}"


def _paragraphs(texts: list[str]) -> str:
    return "\n.PP\n".join(map(_escaped, texts))


def _exit_status(codes: str) -> Iterator[str]:
    for code, meaning in re.findall(r"(\d+) ([^,.]+)", codes):
        yield f".TP\n.B {code}\n{_escaped(meaning)}"


def _escaped(text: str) -> str:
    r"""A hyphen that may be typed is ``\-``; a line that begins with a dot would be a macro."""
    return re.sub(
        r"^([.'])", r"\\&\1", text.replace("\\", r"\e").replace("-", r"\-"), flags=re.MULTILINE
    )


def _tidy(page: str) -> str:
    """As mandoc(1) and readers want it: paragraphs, short lines, a usage that is filled."""
    page = re.sub(
        r"^\.TH .*$", lambda header: header[0].replace("\\-", "-"), page, flags=re.MULTILINE
    )
    page = re.sub(
        r"^usage: (.+?)\n\n",
        lambda usage: f"\n{' '.join(usage[1].split())}\n\n",
        page,
        flags=re.MULTILINE | re.DOTALL,
    )
    page = re.sub(r"^(arguments|options):\n", "", page, flags=re.MULTILINE)
    page = re.sub(r"\n{2,}", "\n\n", page)
    page = re.sub(r"\n\n(?=\.)|(?<=\.PP\n)\n", "\n", page).replace("\n\n", "\n.PP\n")
    page = re.sub(r"\n\.(br|PP)(?=\n\.[SP])", "", page)
    return "".join(f"{line}\n" for line in _short(page.splitlines()))


def _short(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("."):
            yield line
        else:
            for part in textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False):
                yield rf"\&{part}" if part.startswith((".", "'")) else part
