"""Every command once: bindings, footer, palette and help come from these tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

from textual.binding import Binding, BindingType

_KEY_NAMES = {
    "up": "Up", "down": "Down", "pageup": "PgUp", "pagedown": "PgDn", "home": "Home",
    "end": "End", "enter": "Enter", "escape": "Esc", "space": "Space", "tab": "Tab",
    "shift+tab": "Shift+Tab",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """What a key does. `footer` is its short name in the footer; `urgent` keys also work in a line.

    A command that `opens_a_line` runs before the keys that follow it are handled: on a slow
    connection they arrive together, and belong in the line. One that `takes_the_key` has many
    alike, in a row; its action is told which, and nothing by the palette.
    """

    id: str
    keys: tuple[str, ...]
    action: str
    title: str
    help: str
    footer: str = ""
    urgent: tuple[str, ...] = ()
    opens_a_line: bool = False
    takes_the_key: bool = False

    def bindings(self) -> list[Binding]:
        return [
            Binding(
                key, self._action(key), self.title, show=False, tooltip=self.help,
                id=f"{self.id}.{n}", priority=self.opens_a_line or key in self.urgent,
            )
            for n, key in enumerate((*self.keys, *self.urgent))
        ]  # fmt: skip

    def _action(self, key: str) -> str:
        return f"{self.action}('{key}')" if self.takes_the_key else self.action

    @property
    def key_names(self) -> tuple[str, ...]:
        if self.takes_the_key:
            return (f"{self.keys[0]}-{self.keys[-1]}",)
        return tuple(_key_name(key) for key in (*self.keys, *self.urgent))


def _key_name(key: str) -> str:
    if key.startswith("ctrl+"):
        return f"^{key.removeprefix('ctrl+').upper()}"
    return _KEY_NAMES.get(key, key.upper() if key[1:].isdigit() else key)


def bindings(commands: tuple[Command, ...]) -> list[BindingType]:
    """Textual's bindings of these commands, for the BINDINGS of a screen."""
    return [binding for command in commands for binding in command.bindings()]


QUIT = Command(
    "quit", ("q", "f10"), "app.quit", "Quit", "Quit sockwatch", "quit", urgent=("ctrl+c",)
)
HELP = Command(
    "help", ("?", "h", "f1"), "app.help", "Help", "Explain this screen and its keys", "help"
)
PAUSE = Command(
    "pause", ("p", "Z"), "app.pause", "Pause",
    "Freeze the view; polling continues", "pause",
)  # fmt: skip
BLIND_SPOTS = Command(
    "blind_spots", ("b",), "app.blind_spots", "Blind spots",
    "List what could not be seen, and what would show it", "blind spots",
)  # fmt: skip
APP_COMMANDS = (
    HELP,
    PAUSE,
    BLIND_SPOTS,
    Command("refresh", ("r", "ctrl+l"), "app.poll_now", "Poll now", "Poll the host now"),
    Command("slower", ("+",), "app.interval(1)", "Poll less often", "Make the interval longer"),
    Command("faster", ("-",), "app.interval(-1)", "Poll more often", "Make the interval shorter"),
    Command(
        "theme", ("t",), "app.switch_theme", "Theme",
        "Switch between the dark and the light theme",
    ),
    Command(
        "palette", ("ctrl+p",), "app.command_palette", "Command palette",
        "Find any command by its name",
    ),
    Command(
        "suspend", (), "app.suspend_process", "Suspend",
        "Stop sockwatch and go back to the shell; fg continues it", urgent=("ctrl+z",),
    ),
    QUIT,
)  # fmt: skip

MOVE_COMMANDS = (
    Command("up", ("up", "k"), "screen.move(-1)", "Up", "One line up"),
    Command("down", ("down", "j"), "screen.move(1)", "Down", "One line down"),
    Command("page_up", ("pageup",), "screen.page(-1)", "Page up", "One page up"),
    Command("page_down", ("pagedown",), "screen.page(1)", "Page down", "One page down"),
    Command("half_up", ("ctrl+u",), "screen.page(-0.5)", "Half a page up", "Half a page up"),
    Command("half_down", ("ctrl+d",), "screen.page(0.5)", "Half a page down", "Half a page down"),
    Command("top", ("home", "g"), "screen.edge(-1)", "Top", "First line"),
    Command("bottom", ("end", "G"), "screen.edge(1)", "Bottom", "Last line"),
)

FILTER = Command(
    "filter", ("/", "f3", "f4", "\\"), "screen.filter", "Filter",
    "Show only the ports that match, as you type", "filter", opens_a_line=True,
)  # fmt: skip
SORT = Command(
    "sort", ("s", "f6", ">"), "screen.sort(1)", "Sort by the next column",
    "Sort by the next column", "sort",
)  # fmt: skip
DETAILS = Command(
    "details", ("enter",), "screen.details", "Details",
    "Show the details of the port under the cursor", "details",
)  # fmt: skip
ACTS = Command(
    "acts", ("space",), "screen.acts", "Act on the port",
    "Show what can be done with the port under the cursor: free it, wait for it, copy a command",
    "act",
)  # fmt: skip
COPY = Command(
    "copy", ("y", "c"), "screen.copy", "Copy the row",
    "Copy the row to the terminal's clipboard (OSC 52)",
)  # fmt: skip
LAB = Command(
    "lab", ("l",), "app.lab", "Lab",
    "Rehearse bind() conflicts on real servers, step by step", "lab",
)  # fmt: skip
FAILURES = Command(
    "failures", ("f",), "app.failures", "Failures",
    "Show every bind() and listen() on this host that fails, live", "failures",
)  # fmt: skip
ALL = Command(
    "all", ("a",), "screen.all_ports", "Each client port",
    "Show a row for each client port, as a filter does, or fold them again", "all",
)  # fmt: skip
ALL_NETNS = Command(
    "all_netns", ("N",), "screen.all_netns", "All namespaces",
    "Show the ports of every network namespace of the host, or of this one alone", "namespaces",
)  # fmt: skip
MAIN_COMMANDS = (
    DETAILS,
    ACTS,
    FILTER,
    Command(
        "clear", ("escape",), "screen.clear_filter", "Clear the filter", "Show every port again"
    ),
    SORT,
    Command(
        "sort_back", ("<",), "screen.sort(-1)", "Sort by the previous column",
        "Sort by the previous column",
    ),
    Command("invert", ("I",), "screen.invert", "Reverse the order", "Reverse the order"),
    Command(
        "follow", ("F",), "screen.follow", "Follow the row",
        "Keep the row under the cursor in place on the screen",
    ),
    ALL,
    ALL_NETNS,
    Command(
        "jump", tuple("0123456789"), "screen.jump", "Go to a port",
        "Type a number: the cursor goes to that port, in use or not", takes_the_key=True,
    ),
    COPY,
    LAB,
    FAILURES,
)  # fmt: skip
BACK = Command("back", ("escape",), "screen.back", "Back", "Go back", "back")
EDIT = Command(
    "edit",
    ("e",),
    "screen.edit",
    "Edit the request",
    "Change the address, flags, user or device of the request",
    "edit bind",
    opens_a_line=True,
)
LANGUAGE = Command(
    "language", ("L",), "screen.language", "Language of the code",
    "Write lines of code in the next language",
)  # fmt: skip
DETAILS_COMMANDS = (
    BACK,
    EDIT,
    replace(ACTS, help="Show what can be done with the port: free it, wait for it, copy a command"),
    COPY,
    LANGUAGE,
)

FAILURES_COMMANDS = (
    replace(DETAILS, help="Show the port of the failure, in its network namespace"),
    replace(FILTER, help="Show only the failures that match, as you type"),
    replace(
        COPY, title="Copy the command", footer="copy",
        help="Copy the command of the first fix, or else the row, to the clipboard (OSC 52)",
    ),
    replace(BACK, help="Clear the filter, or go back"),
)  # fmt: skip
ACTS_COMMANDS = (
    Command(
        "choose", ("enter",), "screen.choose", "Choose", "Do what is under the cursor", "choose"
    ),
    replace(BACK, keys=("escape", "q"), action="app.leave_screen", help="Do nothing"),
)
FREE_COMMANDS = (replace(BACK, help="Do nothing; while something is done, take no further step"),)
# The other keys are for the number that is typed.
FREE_MOVES = tuple(
    replace(command, keys=command.keys[:1])
    for command in MOVE_COMMANDS
    if command.id in ("up", "down", "page_up", "page_down")
)
BLIND_SPOTS_COMMANDS = (replace(BACK, keys=("escape", "b", "q"), action="app.leave_screen"),)
HELP_COMMANDS = (
    Command(
        "back",
        ("escape", "q", "?", "h", "f1"),
        "app.leave_screen",
        "Back",
        "Close the help",
        "back",
    ),
)

MAIN_FOOTER = (HELP, FILTER, DETAILS, ACTS, LAB, FAILURES, PAUSE, QUIT, ALL, ALL_NETNS, SORT)
FAILURES_FOOTER = (HELP, FILTER, *FAILURES_COMMANDS[:1], *FAILURES_COMMANDS[2:], PAUSE, QUIT)
DETAILS_FOOTER = (HELP, EDIT, ACTS, BACK, PAUSE, QUIT)
HELP_FOOTER = HELP_COMMANDS
