"""Running what is printed, and comparing everything before and after."""

from __future__ import annotations

import re
import shlex
import shutil

from tests.stage.places import Stage, run
from tests.stage.product import Document
from tests.stage.seen import Seen, changes, see
from tests.stage.situation import Situation
from tests.stage.ways import Way
from tests.support.waiting import wait_until

NO_ANSWER = {"systemctl", "docker", "journalctl", "rpcinfo"}  # from these programs, here
SEARCHES = {"grep"}  # fails where it finds nothing
OF_A_NETWORK = {"ip", "rpcinfo", "ss", "sysctl"}
OF_EVERY_NETWORK = "ip -all netns exec "
NSENTER = re.compile(r"nsenter -t \d+ -n ")


def check(stage: Stage, situation: Situation, way: Way, document: Document) -> None:
    """Run what is printed, and see what it has touched, and what has become of the call."""
    causes = [(document["cause"] or {}).get("id")]
    causes += [(each.get("cause") or {}).get("id") for each in document.get("blockers") or ()]
    assert situation.cause.value in causes, document
    commands = [fix["command"] for fix in document["fixes"] if fix["command"] is not None]
    seen = [place.do(see) for place in stage.places]
    outputs = []
    for command in commands:
        seen, output = _check_command(stage, situation, way, command, seen)
        outputs.append(output)

    def finds() -> bool:
        if re.search(situation.finds, "".join(outputs)):
            return True
        # A process may have exited meanwhile.
        searches = [command for command in commands if _program(command) in SEARCHES]
        outputs.extend(way.type(stage, command).output for command in searches)
        return False

    wait_until(finds, lambda: (commands, outputs))
    if way.watches and situation.inside_only:
        assert not commands
        return
    printed = {_program(command) for command in commands}
    assert printed >= {program for program, _ in situation.touches}, document["fixes"]
    wait_until(
        lambda: stage.a.do(situation.call.attempt) == situation.then,
        lambda: (stage.a.do(situation.call.attempt), document["fixes"]),
        0.05,
    )


def _check_command(
    stage: Stage, situation: Situation, way: Way, command: str, before: list[Seen]
) -> tuple[list[Seen], str]:
    """Run it; return all that there is then, and its output."""
    program = _program(command)
    pattern = None if _reads_only(command) else dict(situation.touches).get(program)
    if zsh := shutil.which("zsh"):
        assert run(zsh, "-n", "-c", command).code == 0
    if way.watches and program in OF_A_NETWORK and not command.startswith(OF_EVERY_NETWORK):
        assert NSENTER.match(command), command
    ran = way.type(stage, command)
    assert "yntax error" not in ran.output, (command, ran.output)
    if situation.asked_by:
        # Root is told what this user was not: who holds it, or its flags.
        assert "server(" in ran.output or "without SO_REUSEADDR" in ran.output
    elif program in SEARCHES:
        assert not ran.output or situation.finds, (command, ran.output)
    elif program not in NO_ANSWER:
        assert ran.code == 0, (command, ran.output)

    if pattern is not None:
        in_a = before[stage.places.index(stage.a)]
        wait_until(
            lambda: changes(in_a, stage.a.do(see)), lambda: f"{command} has touched nothing", 0.05
        )
    touched, after = _touched(stage, before)
    odd = [line for line in touched if not re.fullmatch(f"A: ({pattern})", line)]
    assert not odd, (command, odd)
    return after, ran.output


def _touched(stage: Stage, before: list[Seen]) -> tuple[list[str], list[Seen]]:
    """What has changed, each line with its place, and all that there is now."""
    after = [place.do(see) for place in stage.places]
    lines = [
        f"{place.name}: {change}"
        for place, old, new in zip(stage.places, before, after, strict=True)
        for change in changes(old, new)
    ]
    return lines, after


def _program(command: str) -> str:
    return shlex.split(NSENTER.sub("", command))[0]


def _reads_only(command: str) -> bool:
    return _program(command) == "ss" and "-K" not in shlex.split(command)
