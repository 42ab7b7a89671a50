"""How many bytes the main screen sends: ``python -m tests.bench.terminal_bytes``."""

from __future__ import annotations

from tests.tui.terminal import Terminal

LOOKS = 5
TERMS = {"16 colours": "linux", "256 colours": "xterm-256color"}


def first_paint(term: str) -> int:
    with Terminal("rows:0", term=term) as terminal:
        terminal.wait_for("server3")
        terminal.settle()
        return len(terminal.output)


def per_look(changed: int, term: str) -> float:
    """The mean over some looks at which `changed` rows have a new count."""
    with Terminal(f"rows:{changed}", term=term) as terminal:
        terminal.wait_for("server3")
        terminal.settle()
        before = len(terminal.output)
        for _ in range(LOOKS):
            terminal.look()
            terminal.settle()
        return (len(terminal.output) - before) / LOOKS


def main() -> None:
    print(f"{'80x24':<14}{'first paint':>12}{'0 rows':>9}{'1 row':>9}{'10 rows':>9}  bytes")
    for name, term in TERMS.items():
        cells = [first_paint(term), *(per_look(rows, term) for rows in (0, 1, 10))]
        print(f"{name:<14}{cells[0]:>12.0f}" + "".join(f"{cell:>9.0f}" for cell in cells[1:]))


if __name__ == "__main__":
    main()
