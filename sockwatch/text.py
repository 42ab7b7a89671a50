"""Make foreign text printable: others choose the names of processes, sockets and cgroups."""

from __future__ import annotations

NAME_LIMIT = 64
COMMAND_LIMIT = 1024


def clean(text: str | bytes, limit: int = COMMAND_LIMIT) -> str:
    """`text` in one line of printable characters, at most `limit` of them.

    What is not printable (C0, DEL, C1, bidi controls, line ends) becomes a space for white space,
    else ``?``; bytes that are not UTF-8 become ``?``. A cut is shown by ``…``.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    cut = len(text) > limit
    if cut:
        text = text[: limit - 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
    return text + "…" if cut else text
