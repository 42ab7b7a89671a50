"""The lab says the same in every language that it has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Formatter

import pytest

import sockwatch
from sockwatch.bind.rules import (
    BOTH_REUSEADDR,
    BOTH_REUSEADDR_UDP,
    BOTH_REUSEPORT,
    BOTH_REUSEPORT_MINI,
    FLAG_ON_ONE_SIDE,
    LISTENING,
    NO_FLAGS,
    OTHER_ADDRESS,
    OTHER_DEVICE,
    OTHER_USER,
    TIME_WAIT,
)
from sockwatch.cli.lab_run import ON_HOST
from sockwatch.lab import observations, steps
from sockwatch.lab.languages import LANGUAGES, language_of
from sockwatch.lab.languages.scenarios import translated
from sockwatch.lab.languages.translation import ENGLISH, Translation, translation
from sockwatch.lab.languages.zh import ANSWERS, PHRASES
from sockwatch.lab.languages.zh_scenarios import SCENARIOS
from sockwatch.lab.restart import Restart
from sockwatch.lab.scenario import Scenario, all_scenarios
from sockwatch.lab.step import BaseStep
from sockwatch.tui import legend
from sockwatch.tui.commands import APP_COMMANDS, HELP_COMMANDS, MOVE_COMMANDS
from sockwatch.tui.lab import free_play
from sockwatch.tui.lab.client_form import CLIENT_FORM
from sockwatch.tui.lab.fields import ChoiceField
from sockwatch.tui.lab.form import Form
from sockwatch.tui.lab.keys import FORM_COMMANDS, LAB_COMMANDS, LAB_FOOTERS
from sockwatch.tui.lab.process_list import NOBODY
from sockwatch.tui.lab.sandbox_ports import COVER, COVERED_CELL
from sockwatch.tui.lab.sandbox_screen import NO_QUESTION
from sockwatch.tui.lab.scenario_list import MARKS
from sockwatch.tui.lab.screen import LabScreen
from sockwatch.tui.lab.server_form import SERVER_FORM
from sockwatch.tui.symbols import UNICODE
from sockwatch.view.rehearsal import NETWORK_NAMES, QUESTION

ROOT = Path(sockwatch.__file__).parent
SPEAKING = [ROOT / "cli" / "lab_run.py", ROOT / "view" / "rehearsal.py", *ROOT.glob("tui/**/*.py")]
RULES = (
    BOTH_REUSEADDR, BOTH_REUSEADDR_UDP, BOTH_REUSEPORT, BOTH_REUSEPORT_MINI, FLAG_ON_ONE_SIDE,
    LISTENING, NO_FLAGS, OTHER_ADDRESS, OTHER_DEVICE, OTHER_USER, TIME_WAIT,
)  # fmt: skip
# Names of calls, flags, states and files, and all numbers: the same in every language.
KEPT = re.compile(r"[A-Za-z_]\w*\(\)|[A-Z][A-Z0-9_]*[A-Z0-9]|net\.ipv4\.\w+|\d[\d.,:]*\d|\d")


def texts(scenario: Scenario) -> Iterator[str]:
    """All that a student reads of the scenario."""
    yield from (scenario.title, scenario.claim, scenario.finding)
    for step in scenario.steps:
        yield from filter(None, (step.text, getattr(step, "why", "")))


def said_in_code() -> Iterator[str]:
    """Every text that a call of a translation names: say("..."), say.count(n, "step")."""
    for path in SPEAKING:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = ast.unparse(node.func)
            if re.fullmatch(r"(self\.|screen\.)?_?say(\.count)?", called):
                if called.endswith(".count"):
                    yield from (f"{{}} {noun}s" for noun in constants(node.args[-1]))
                else:
                    yield from constants(node.args[0])


def constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*constants(node.body), *constants(node.orelse))


def said_by_name() -> Iterator[str]:
    """The texts in tables and constants."""
    yield from (ON_HOST, QUESTION, NOBODY, COVERED_CELL, NO_QUESTION, Form.HINT, *COVER)
    yield from (free_play._KILL, free_play._STOP, free_play._CONTINUE, *free_play._CLOSES.values())
    yield from (*NETWORK_NAMES.values(), *MARKS)
    yield from ("scenarios", "processes", "steps", "ports", "explanation", LabScreen.HELP_TITLE)
    shown = [*LAB_COMMANDS, *FORM_COMMANDS, *HELP_COMMANDS, *MOVE_COMMANDS, *APP_COMMANDS]
    for command in (*shown, *(each for footer in LAB_FOOTERS.values() for each in footer)):
        yield from (command.title, command.help, command.footer)
    for sign, meaning in (*legend.lab_marks(), *legend.row_signs(UNICODE)):
        yield meaning or sign
    for table in (SERVER_FORM, CLIENT_FORM):
        yield from (row.heading for row in table.rows)
        for field in table.fields:
            yield from (field.label, field.error_name)
            yield from field.choices if isinstance(field, ChoiceField) else ()
    for kind in (*vars(steps).values(), *vars(observations).values(), Restart):
        if isinstance(kind, type) and issubclass(kind, BaseStep):
            yield kind.WHY


def needs_translation(said: Iterable[str]) -> set[str]:
    """Those with letters that are no name of the kernel's or the product's."""
    same = {"SO_REUSEADDR", "SO_REUSEPORT", "IPV6_V6ONLY", "tcp", "udp"}
    return {text for text in said if re.search("[A-Za-z,]", text)} - same


def test_every_text_of_the_scenarios_is_in_both_languages() -> None:
    english = {text for scenario in all_scenarios() for text in texts(scenario)}
    assert english == set(SCENARIOS)


MAKERS = ("InputError", "Skipped", "StepResult")
SAID = ("kernel", "self.skipped")  # what such a text is assigned to


def answers() -> Iterator[str]:
    """What the code makes with values in it, each value as ``{}``: inputs, results, skips."""
    for name in ("tui/lab/checks.py", "lab/run.py", "lab/steps.py", "lab/observations.py"):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            match node:
                case ast.Call(args=[first, *_]) if ast.unparse(node.func) in MAKERS:
                    yield from patterns(first)
                case ast.Call(args=[*_, last]) if ast.unparse(node.func) == "_number":
                    yield from patterns(last)
                case ast.Assign(targets=[target], value=value) if ast.unparse(target) in SAID:
                    yield from patterns(value)
                case ast.Return(value=ast.expr() as value) if name == "lab/run.py":
                    yield from patterns(value)
    yield from (rule.text for rule in RULES)
    yield from (f"{{}} {doing}" for doing in (*observations.ACTIVITIES.values(), "is running"))


def patterns(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        pieces = (piece for part in node.values for piece in patterns(part))
        yield "".join(pieces)
    elif isinstance(node, ast.FormattedValue):
        yield "{}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.BoolOp):
        yield from (text for value in node.values for text in patterns(value))


def test_every_answer_is_in_both_languages() -> None:
    found = {text for text in answers() if re.search("[a-z]{2}", text)}
    assert found - {"sendto {}", "ok"} == {
        text
        for text in ANSWERS
        if "frees in" not in text and text not in ("blocked by {}", "you stopped")
    }


def test_every_phrase_is_in_both_languages() -> None:
    assert needs_translation([*said_in_code(), *said_by_name()]) == set(PHRASES)


@pytest.mark.parametrize("table", [SCENARIOS, PHRASES, ANSWERS], ids=["s", "p", "a"])
def test_names_and_numbers_are_the_same(table: dict[str, str]) -> None:
    for english, chinese in table.items():
        kept = [
            set(KEPT.findall(re.sub(r"{\d}", "{}", text))) - LOUD for text in (english, chinese)
        ]
        assert kept[0] == kept[1], (english, chinese)
        assert places(english) == places(chinese), (english, chinese)
        assert re.search("[\u4e00-\u9fff]", chinese) or english in UNCHANGED, english


LOUD = {
    "AS", "EXPECTED", "FAIL", "FAILED", "NOT", "PREDICTED", "PROCESSES", "SCENARIOS", "STEPS",
    "STOPPED", "WHY",
}  # fmt: skip
UNCHANGED = {
    ", ",
    "Linux: {finding}",
    "{answer}: {judgement}",
    "{field}: {error}",
    "a uid",
    "a backlog",
}


def places(text: str) -> list[str]:
    """The names in braces, or as many empty ones as there are numbers."""
    names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    return sorted("" if name.isdigit() else name for name in names)


@pytest.mark.parametrize("table", [SCENARIOS, PHRASES], ids=["s", "p"])
def test_chinese_has_chinese_punctuation(table: dict[str, str]) -> None:
    """A sign of ASCII stands only between ASCII characters, as in ``127.0.0.2:443``."""
    for chinese in table.values():
        assert not re.search(r"[\u4e00-\u9fff][,;?!]|[,;?!][\u4e00-\u9fff]", chinese), chinese
        assert not re.search(r"[\u4e00-\u9fff][.:]( |$)", chinese), chinese


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda one: one.name)
def test_a_translation_changes_nothing_but_texts(scenario: Scenario) -> None:
    other = translated(scenario, translation("zh"))
    assert (other.number, other.name, other.ports, other.needs) == (
        scenario.number, scenario.name, scenario.ports, scenario.needs,
    )  # fmt: skip
    for step, ours in zip(scenario.steps, other.steps, strict=True):
        assert type(step) is type(ours)
        assert step.expect == ours.expect
        assert bool(getattr(step, "why", "")) == bool(getattr(ours, "why", ""))
    assert translated(scenario, ENGLISH) == scenario


@pytest.mark.parametrize(
    ("environment", "encoding", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "utf-8", "zh"),
        ({"LANG": "zh_CN.GB18030"}, "gb18030", "zh"),
        ({"LANG": "zh"}, None, "zh"),
        ({"LANG": "zh_CN.UTF-8"}, "ascii", "en"),
        ({"LANG": "zh_CN.UTF-8"}, "no-such-encoding", "en"),
        ({"LANG": "zh_CN.UTF-8", "TERM": "linux"}, "utf-8", "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "utf-8", "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, "utf-8", "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "de_DE.UTF-8"}, "utf-8", "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "utf-8", "zh"),
        ({"LANG": "zha_CN.UTF-8"}, "utf-8", "en"),
        ({}, "utf-8", "en"),
    ],
)
def test_the_locale_chooses(
    environment: dict[str, str], encoding: str | None, language: str
) -> None:
    assert language_of(environment, encoding) == language


def test_what_has_no_translation_stays_english() -> None:
    say = Translation({"{n} of {m}": "{m} 中的 {n}"}, {"{} ended": "结束了 {} 个"})
    assert say("{n} of {m}", n="{m}", m=2) == "2 中的 {m}"
    assert say("other {x}", x=1) == "other 1"
    assert say("{x}") == "{x}"
    assert (say.answer("2 ended"), say.answer("2 ended\n")) == ("结束了 2 个", "2 ended\n")
    assert say.answer("EADDRINUSE") == "EADDRINUSE"
    assert say.answer("2" * 600 + " ended") == "2" * 600 + " ended"
    assert say.count(2, "step") == "2 steps"


def test_each_language_is_there() -> None:
    said = [translation(language)("kill it") for language in LANGUAGES]
    assert said == ["kill it", "杀死它"]
