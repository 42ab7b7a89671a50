"""The two READMEs say the same of what can be typed, and nothing of what is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sockwatch import toml
from sockwatch.cli.arguments import top_parser
from sockwatch.cli.config_text import Known, values_in
from sockwatch.cli.dispatch import COMMANDS
from sockwatch.lab.languages.zh_scenarios import SCENARIOS
from sockwatch.lab.scenario import all_scenarios

ROOT = Path(__file__).parents[1]
ENGLISH = ROOT / "README.md"
CHINESE = ROOT / ".docs" / "README.zh-CN.md"
BOTH = pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=["english", "chinese"])
NAMES = {command.NAME for command in COMMANDS}


def commands_of(readme: Path) -> set[str]:
    """The commands in the first column of its tables."""
    cells = re.findall(r"^\| (`sockwatch .*?) \|", readme.read_text(), re.MULTILINE)
    return set(re.findall(r"`sockwatch ([a-z]+)", "\n".join(cells)))


def table(readme: Path, heading: str) -> list[list[str]]:
    """What is written as code in each row of the table whose first column is headed so."""
    _, _, after = readme.read_text().partition(f"\n| {heading} |")
    rows = after.partition("\n\n")[0].splitlines()[2:]
    return [re.findall("`([^`]+)`", row) for row in rows]


def installs(readme: Path) -> list[str]:
    return re.findall(r"^    python3 -m venv .*$", readme.read_text(), re.MULTILINE)


@BOTH
def test_it_names_every_command(readme: Path) -> None:
    assert commands_of(readme) == NAMES


def test_the_two_install_commands_are_the_same() -> None:
    assert len(installs(ENGLISH)) == 2
    assert installs(CHINESE) == installs(ENGLISH)


def test_the_two_name_the_same_options_of_each_command() -> None:
    named = table(ENGLISH, "command")
    assert len(named) == len(NAMES) + 2  # alone, and with a port
    assert table(CHINESE, "命令") == named


def test_the_two_configure_the_same() -> None:
    example = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    english, chinese = (
        [toml.loads(text) for text in example.findall(readme.read_text())]
        for readme in (ENGLISH, CHINESE)
    )
    assert english == chinese
    assert len(english) == 1
    values_in(english[0], Known(top_parser(COMMANDS)))


def test_the_two_carry_the_same_files() -> None:
    file_and_size = re.compile(r"^\| `(sockwatch[-_]\d\S+)`\W+(\d[\d.]* MB) \|", re.MULTILINE)
    carried = file_and_size.findall(ENGLISH.read_text())
    assert len(carried) == 3
    assert file_and_size.findall(CHINESE.read_text()) == carried


@BOTH
def test_it_opens_with_both_languages_and_a_picture(readme: Path) -> None:
    first, _, title, *_ = readme.read_text().splitlines()
    assert title == "# sockwatch"
    assert re.fullmatch(r"\[English\]\(.*\) \| \[简体中文\]\(.*\)", first)
    before = readme.read_text().partition(installs(readme)[0])[0]
    assert "screenshots/taken-port.svg" in before


@BOTH
def test_what_it_links_to_is_there(readme: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", readme.read_text()):
        if not target.startswith("http"):
            assert (readme.parent / target.partition("#")[0]).exists(), target


@BOTH
def test_a_link_into_the_chinese_page_leads_to_a_heading(readme: Path) -> None:
    headings = re.findall(r"^#+ (.*)$", CHINESE.read_text(), re.MULTILINE)
    # As GitHub makes them: lower case, without punctuation, spaces as hyphens.
    anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    for anchor in re.findall(r"README\.zh-CN\.md#([^)]+)", readme.read_text()):
        assert anchor in anchors


def test_the_chinese_one_lists_every_scenario_by_its_title() -> None:
    table = [f"| `{one.name}` | {SCENARIOS[one.title]} |" for one in all_scenarios()]
    assert "\n".join(table) in CHINESE.read_text()


def test_every_claim_of_the_article_has_scenarios_that_are_there() -> None:
    table = CHINESE.read_text().rpartition("| 论断 | 场景 | 在 Linux 上 |")[2]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) == 20
    names = {one.name for one in all_scenarios()}
    for _, scenarios, answer in rows:
        found = re.findall(r"`([a-z0-9-]+)`", scenarios)
        assert found
        assert set(found) <= names
        assert answer


def test_the_same_pictures() -> None:
    pictures = re.compile(r"screenshots/([\w-]+\.svg)")
    assert set(pictures.findall(CHINESE.read_text())) <= set(pictures.findall(ENGLISH.read_text()))
    shown = pictures.findall(ENGLISH.read_text())
    assert set(shown) == {path.name for path in (ROOT / "screenshots").iterdir()}
