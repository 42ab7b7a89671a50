"""Texts that are, or nearly are, what people type for a port."""

from __future__ import annotations

from hypothesis import strategies as st

PARTS = (
    *("", "*", ":", "::", "/", ",", "-", "->", " ", "[", "]", "://", "@", "%", "?", "\n", "\0"),
    *("::1", "[::1]", "[fe80::1%lo]", "127.0.0.1", "localhost", "db.example", "tcp", "udp"),
    *("0", "80", "8080", "65536", "9" * 5000, "http", "https", "domain", "\u0668", "\u00b2"),
)


def texts_for_a_port() -> st.SearchStrategy[str]:
    """Any text, and parts of endpoints in any order."""
    return st.one_of(
        st.text(),
        st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=3)), max_size=6).map("".join),
    )
