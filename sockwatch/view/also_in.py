"""That a port is taken in other network namespaces too, and what to type to hear about it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.view.fit import cell_width
from sockwatch.view.lines import Line
from sockwatch.view.outside import place
from sockwatch.view.page import LABEL_WIDTH, labelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sockwatch.bind import BindRequest
    from sockwatch.model import Netns

SHOWN: Final = 3


class AlsoIn(NamedTuple):
    """A namespace in which the port is taken; `which` is what to type for it after --netns."""

    netns: Netns
    which: str


def also_in_lines(request: BindRequest, others: Sequence[AlsoIn], width: int) -> Iterator[Line]:
    """``also in   container web2 (podman), netns blue: sockwatch 8080 --netns web2``.

    The command is about the first; it has a line of its own where both do not fit into `width`.
    """
    if not others:
        return
    named = ", ".join(place(other.netns) for other in others[:SHOWN])
    if (more := len(others) - SHOWN) > 0:
        named += f" and {more} more"
    port = f"{request.port}/udp" if request.protocol == "udp" else str(request.port)
    command = shlex.join(["sockwatch", port, "--netns", others[0].which])
    text = f"{named}: {command}"
    if LABEL_WIDTH + cell_width(text) <= width:
        yield labelled("also in", Line("command", text))
    else:
        yield labelled("also in", Line("text", named))
        yield labelled("", Line("command", command))
