"""The keys of the lab and of its forms."""

from __future__ import annotations

from dataclasses import replace

from sockwatch.tui.commands import BACK, COPY, HELP, QUIT, Command

RUN = Command(
    "run", ("R",), "screen.run", "Run the scenario",
    "Run the scenario under the cursor as fast as one reads, up to each question; R again runs it"
    " to the end without stops", "run",
)  # fmt: skip
BETS = tuple(
    Command(
        f"bet_{number}", (f"{number}",), f"screen.bet({number})", f"Bet on answer {number}",
        f"Bet that the kernel gives answer {number} to the open question, and go on",
    )
    for number in range(1, 5)
)  # fmt: skip
ENTER = Command(
    "enter",
    ("enter",),
    "screen.enter",
    "Run, edit, explain or open",
    "Run the scenario or its rest up to the next question, restart the process, explain the step,"
    " or open the port under the cursor",
)
STEP = Command(
    "step",
    ("n", "."),
    "screen.step",
    "One step",
    "Run the next step of the scenario; a question is passed over",
    "step",
)
STOP = Command("stop", ("x",), "screen.stop", "Stop", "Stop after the current step", "stop")
RESET = Command("reset", ("0",), "screen.reset", "Reset", "Start over in a fresh sandbox", "reset")
NEXT_LIST = Command(
    "next_list", ("tab",), "screen.next_list(1)", "Next list",
    "Go to the next list: scenarios, processes, steps, ports", "list",
)  # fmt: skip
CALLS = Command(
    "calls", ("v",), "screen.calls", "System calls", "Show or hide the system calls", "calls"
)
START = Command(
    "start", ("a",), "screen.start", "Start a server",
    "Free play: start a server with any options", "server",
)  # fmt: skip
CONNECT = Command(
    "connect", ("C",), "screen.connect", "Connect clients",
    "Free play: connect clients to the process under the cursor", "clients",
)  # fmt: skip
KILL = Command(
    "kill", ("K", "f9"), "screen.kill", "Kill the process",
    "Free play: kill -9 the process under the cursor", "kill",
)  # fmt: skip
FREEZE = Command(
    "freeze", ("S",), "screen.freeze", "Stop or continue the process",
    "Free play: stop the process under the cursor (SIGSTOP), or continue it", "stop/cont",
)  # fmt: skip
RESTART = Command(
    "restart", ("e",), "screen.restart", "Restart with other flags",
    "Free play: kill the server under the cursor and start it with other options", "restart",
)  # fmt: skip
DISCONNECT = Command(
    "disconnect", ("d",), "screen.disconnect", "Close its connections",
    "Free play: have the process under the cursor close its connections first", "close",
)  # fmt: skip
END_TIME_WAITS = Command(
    "end_time_waits", ("T",), "screen.end_time_waits", "End TIME_WAITs",
    "Free play: end the TIME_WAITs of the port under the cursor", "end TIME_WAITs",
)  # fmt: skip
ON_HOST = Command(
    "on_host", ("o",), "screen.on_host", "Use the host's loopback",
    "Without a sandbox: use real ports on the loopback of the host", "host's loopback",
)  # fmt: skip
LAB_COMMANDS = (
    RUN,
    ENTER,
    STEP,
    *BETS,
    STOP,
    RESET,
    NEXT_LIST,
    Command(
        "last_list", ("shift+tab",), "screen.next_list(-1)", "Previous list",
        "Go to the previous list"
    ),
    CALLS,
    START,
    CONNECT,
    KILL,
    FREEZE,
    RESTART,
    DISCONNECT,
    END_TIME_WAITS,
    ON_HOST,
    COPY,
    BACK,
)  # fmt: skip
SUBMIT = Command(
    "submit", (), "screen.submit", "Start", "Start what the form describes", "start",
    urgent=("ctrl+s", "f2"),
)  # fmt: skip
# Urgent, so that what is typed right after it goes to the next field.
NEXT_FIELD = Command(
    "next_field", (), "app.focus_next", "Next field", "Go to the next field", "next field",
    urgent=("tab",),
)  # fmt: skip
FORM_COMMANDS = (
    SUBMIT,
    NEXT_FIELD,
    Command(
        "last_field", (), "app.focus_previous", "Previous field", "Go to the previous field",
        urgent=("shift+tab",),
    ),
    BACK,
)  # fmt: skip

LAB_FOOTERS = {
    "scenarios": (HELP, RUN, STEP, STOP, RESET, START, NEXT_LIST, BACK),
    "processes": (HELP, KILL, FREEZE, RESTART, CONNECT, DISCONNECT, START, NEXT_LIST),
    "steps": (HELP, replace(ENTER, footer="explain"), STEP, STOP, CALLS, NEXT_LIST, BACK),
    "ports": (HELP, replace(ENTER, footer="details"), END_TIME_WAITS, START, NEXT_LIST, BACK),
    "explanation": (HELP, replace(BACK, footer="close it"), STEP, STOP, NEXT_LIST),
    "refused": (HELP, ON_HOST, BACK, QUIT),
}
FORM_FOOTER = (SUBMIT, NEXT_FIELD, BACK)
