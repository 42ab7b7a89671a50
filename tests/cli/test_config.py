"""Options that files and variables set: which counts, and what becomes of files that are wrong."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.cli import config_files, why
from sockwatch.cli.arguments import parse, top_parser
from sockwatch.cli.command import Parser, UsageError
from sockwatch.cli.config import Configuration
from sockwatch.cli.config_files import MOST_BYTES, NAME, OF_ANOTHER_USER
from sockwatch.cli.config_text import Known, values_in, values_of
from sockwatch.cli.dispatch import COMMANDS
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.settings import Setting, WrongValueError, settings
from tests.support.fuse import silent_mount
from tests.support.privilege import needs_root

SETTINGS = list(settings(top_parser(COMMANDS)))
KNOWN = Known(top_parser(COMMANDS))
# Keys and values near those that are.
WORDS = st.sampled_from([word for s in SETTINGS for word in (*s.table, s.name)]) | st.text()
VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(WORDS, values),
    max_leaves=8,
)


class Files:
    """The user's file and the system's, in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.user, self.system = folder / "user", folder / "system"
        self.user_file, self.system_file = (place / NAME for place in (self.user, self.system))
        for file in (self.user_file, self.system_file):
            file.parent.mkdir(parents=True)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    made = Files(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(made.user))
    monkeypatch.setattr(config_files, "SYSTEM_FOLDER", str(made.system))
    for variable in (*OF_ANOTHER_USER, "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    return made


def options(*arguments: str) -> argparse.Namespace:
    return parse(arguments, COMMANDS, why)


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    os.setresuid(uid, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def origins(*arguments: str) -> dict[str, str]:
    """What --print-config says of each key: the value, and what has set it."""
    table, told = "", {}
    for line in options("--print-config", *arguments).config.splitlines():
        if line.startswith("["):
            table = line.strip("[]") + "."
        elif " = " in line:
            setting, _, origin = line.partition("  # ")
            key, _, value = setting.partition(" = ")
            told[table + key] = f"{value.strip()} {origin}"
    return told


def refused(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        options(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sockwatch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sockwatch", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL, env=os.environ | environment,
    )  # fmt: skip


def test_the_nearest_to_the_user_counts(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (options().interval, origins()["interval"]) == (1, "1.0 default")
    files.system_file.write_text("interval = 2")
    assert (options().interval, origins()["interval"]) == (2, f"2.0 {files.system_file}")
    files.user_file.write_text("interval = 3.0")
    assert (options().interval, origins()["interval"]) == (3, f"3.0 {files.user_file}")
    monkeypatch.setenv("SOCKWATCH_INTERVAL", "4")
    assert (options().interval, origins()["interval"]) == (4, "4.0 SOCKWATCH_INTERVAL")
    typed = ("--interval", "5")
    assert (options(*typed).interval, origins(*typed)["interval"]) == (5, "5.0 command line")


def test_a_switch_can_be_turned_off_again(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.system_file.write_text("readonly = true\nascii = true")
    files.user_file.write_text("readonly = false")
    monkeypatch.setenv("SOCKWATCH_ASCII", "0")
    assert (options().readonly, options().ascii) == (False, False)
    assert options("--ascii").ascii


def test_an_empty_variable_sets_nothing(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.user_file.write_text("ascii = true")
    monkeypatch.setenv("SOCKWATCH_ASCII", "")
    assert options().ascii


def test_a_table_is_of_its_command(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.user_file.write_text("[ports]\nall = true\n[why]\nreuseaddr = true\nlang-hint = 'go'")
    monkeypatch.setenv("SOCKWATCH_WHY_REUSEPORT", "yes")
    assert options("ports").all
    assert not hasattr(options("ports"), "reuseaddr")
    for words in (["why", "80"], ["80"], ["localhost:80", "--udp"]):
        answer = options(*words)
        assert (answer.reuseaddr, answer.reuseport, answer.v6only) == (True, True, False)
        assert answer.lang_hint == "go"
    assert options("80", "--lang-hint", "c").lang_hint == "c"
    assert not options("lab", "run", "x").all  # another one


def test_no_color_of_all_programs(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not options().no_color
    monkeypatch.setenv("NO_COLOR", "0")  # whatever it says: https://no-color.org
    assert origins()["no-color"] == "true NO_COLOR"
    monkeypatch.setenv("SOCKWATCH_NO_COLOR", "0")
    assert not options().no_color


def test_what_is_typed_puts_aside_what_excludes_it(files: Files) -> None:
    files.user_file.write_text("[ports]\nall-netns = true")
    assert options("ports").all_netns
    assert not options("ports", "--netns", "host").all_netns
    assert options("80", "--netns", "host").netns == "host"


def test_the_nearer_of_two_that_exclude_each_other(files: Files) -> None:
    parser = Parser(prog="sockwatch")
    group = parser.add_mutually_exclusive_group()
    for name in ("--red", "--blue"):
        group.add_argument(name, action="store_true")
    parser.leave_out_defaults()
    files.system_file.write_text("red = true")

    def chosen(*arguments: str) -> tuple[bool, bool]:
        typed = parser.parse_args(arguments)
        Configuration(lambda: parser).fill(parser, typed)
        return typed.red, typed.blue

    assert chosen() == (True, False)
    assert chosen("--blue") == (False, True)
    files.user_file.write_text("red = false\nblue = true")
    assert chosen() == (False, True)
    files.user_file.write_text("red = true\nblue = true")
    with pytest.raises(UsageError, match="red and blue exclude each other"):
        chosen()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("intervaal = 2", "intervaal is no setting; did you mean interval?"),
        ("no_mouse = true", "did you mean no-mouse?"),
        ("all-netns = true", "did you mean ports.all-netns?"),
        ("all = true", "all is no setting; did you mean ports.all?"),
        ("[lab.run]\nall = true", "lab.run.all is for the command line alone: --all"),
        ("[why]\nall = true", "why.all is no setting; did you mean ports.all?"),
        ("[port]\nall = true", "port is no setting; did you mean ports?"),
        ("[ports]\nal = true", "ports.al is no setting; did you mean ports.all?"),
        ("zzz = 1", "zzz is no setting; sockwatch --print-config lists them all"),
        ("[zzz.y]\nx = 1", "zzz is no setting; sockwatch --print-config lists them all"),
        ("ports = true", "ports is a command: its options stand in the table [ports]"),
        ("json = true", "json is for the command line alone: --json"),
        ("[lab.run]\non-host = true", "lab.run.on-host is for the command line alone: --on-host"),
        ("version = true", "version is for the command line alone"),
        ("[lab.run]\nlang = 'zh'", "lab.run.lang is no setting; did you mean lang?"),
        ("[free]\nreadonly = true", "free.readonly is no setting; did you mean readonly?"),
        ("[free]\nreuseaddr = true", "free.reuseaddr is for the command line alone"),
        ("interval = true", "interval: wants a string or a number"),
        ("interval = [1]", "interval: wants a string or a number"),
        ("interval = 2026-01-01", "interval: wants a string or a number"),
        ("[interval]\nx = 1", "interval: wants a string or a number"),
        ("interval = 0", "interval: '0' is not a number of seconds from 0.1 to 3600"),
        ("interval = nan", "interval: 'nan' is not a number of seconds"),
        ("theme = 'red'", "theme: 'red' is none of auto, dark, light"),
        ("theme = 3", "theme: '3' is none of"),
        ("ascii = 1", "ascii: wants true or false"),
        ("ascii = 'true'", "ascii: wants true or false"),
        ("ascii", "is not TOML: "),
        ("ascii = true\nascii = true", "is not TOML: "),
        ("x = " + "[" * 10_000, "is nested too deeply"),
        ("interval = " + "9" * 5_000, "is not TOML: "),
        ("'\x7f' = 1", "is not TOML: "),
        ('"\\u001b[31m" = 1', "?[31m is no setting"),
    ],
)
def test_what_is_wrong_gets_one_line(files: Files, text: str, message: str) -> None:
    for file in (files.user_file, files.system_file):
        file.write_text(text)
        for arguments in ([], ["80"]):
            line = refused(*arguments)
            assert line.startswith(f"{file}")
            assert message in line
        file.unlink()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SOCKWATCH_INTERVAL", "fast", "SOCKWATCH_INTERVAL: 'fast' is not a number of seconds"),
        ("SOCKWATCH_ASCII", "maybe", "SOCKWATCH_ASCII: 'maybe' is neither 1 nor 0"),
        ("SOCKWATCH_THEME", "red", "SOCKWATCH_THEME: 'red' is none of auto, dark, light"),
    ],
)
def test_a_wrong_variable_gets_one_line(
    files: Files, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert message in refused("ports")


def test_with_a_wrong_file_it_still_tells_its_version(files: Files) -> None:
    files.user_file.write_text("zzz = 1")
    assert options("--version").version
    done = sockwatch("ports", "--help")
    assert done.returncode == ExitCode.YES


def test_a_command_ends_with_2(files: Files) -> None:
    files.user_file.write_text("intervaal = 1")
    done = sockwatch("ports")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr == (
        f"sockwatch: {files.user_file}: intervaal is no setting; did you mean interval?\n"
    )


def test_what_it_prints_is_a_file_that_says_the_same(files: Files) -> None:
    files.user_file.write_text("theme = 'light'\n[ports]\nall-netns = true\n[wait]\ntimeout = inf")
    before = origins()
    assert before["wait.timeout"].startswith("inf ")
    files.user_file.write_text(options("--print-config").config)
    assert options("--print-config").config
    after = origins()
    assert [told.split()[0] for told in after.values()] == [t.split()[0] for t in before.values()]
    assert {told.split()[1] for told in after.values()} == {str(files.user_file)}


def test_the_files_are_named_with_what_became_of_them(files: Files) -> None:
    files.system_file.write_text("")
    lines = options("--print-config").config.splitlines()
    assert lines[:2] == [f"# {files.user_file}: not there", f"# {files.system_file}: read"]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: str(setting.key))
def test_each_setting_is_a_switch_or_has_one_value(setting: Setting) -> None:
    """Any other kind has to be read from a list, and be told apart from a default."""
    assert setting.action.nargs in (None, 0)
    assert type(setting.action).__name__ in ("_StoreAction", "_StoreTrueAction")


def test_no_command_has_two_settings_of_one_name() -> None:
    """One that repeats an option of every command has argparse.SUPPRESS as its default."""
    for command in {setting.table for setting in SETTINGS}:
        own = [s.action.dest for s in SETTINGS if s.table == command[: len(s.table)]]
        assert len(set(own)) == len(own)


def test_each_setting_has_a_name_of_its_own() -> None:
    assert len({setting.key for setting in SETTINGS}) == len(SETTINGS)
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS)


@given(st.dictionaries(WORDS, VALUES))
def test_any_document_is_taken_or_refused(document: dict[str, object]) -> None:
    with suppress(WrongValueError):
        assert values_in(document, KNOWN).keys() <= KNOWN.settings.keys()


@given(st.text())
def test_any_text_is_taken_or_refused(text: str) -> None:
    with suppress(WrongValueError):
        assert values_of(text, KNOWN).keys() <= KNOWN.settings.keys()


def fifo(file: Path) -> None:
    os.mkfifo(file)


def device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def folder(file: Path) -> None:
    file.mkdir()


def socket_file(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        os.chdir(file.parent)
        sock.bind(file.name)


def huge(file: Path) -> None:
    with file.open("w") as sparse:
        sparse.truncate(1 << 40)


def too_long(file: Path) -> None:
    file.write_text("#" * (MOST_BYTES + 1))


def not_utf_8(file: Path) -> None:
    file.write_bytes(b"# \xff")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (fifo, "is not a regular file"),
        (device, "is not a regular file"),
        (folder, "is not a regular file"),
        (socket_file, "is not a regular file"),
        (huge, f"is not read: more than {MOST_BYTES} bytes"),
        (too_long, f"is not read: more than {MOST_BYTES} bytes"),
        (not_utf_8, "is not UTF-8, at byte 2"),
    ],
)
def test_a_file_that_is_none_does_no_harm(
    files: Files, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], message: str
) -> None:
    monkeypatch.chdir("/")
    for file in (files.user_file, files.system_file):
        make(file)
        assert refused() == f"{file} {message}"
        folder_of = file.parent
        file.rmdir() if make is folder else file.unlink()
        assert not list(folder_of.iterdir())


def test_the_largest_file_is_read(files: Files) -> None:
    files.user_file.write_text("ascii = true".ljust(MOST_BYTES, "\n"))
    assert options().ascii


@pytest.mark.timeout(20)
def test_a_key_of_many_words_takes_no_more_than_seconds(files: Files) -> None:
    """The parser of TOML takes the square of their number in time, and in memory."""
    files.user_file.write_text(".".join("a" * (MOST_BYTES // 2 - 1)) + "=1")
    assert refused().endswith(("it is nested too deeply", "--print-config lists them all"))


def test_what_editors_put_before_the_text_is_none_of_it(files: Files) -> None:
    files.user_file.write_text("ascii = true", encoding="utf-8-sig")
    assert options().ascii


def test_a_link_leads_to_the_file(files: Files, tmp_path: Path) -> None:
    (tmp_path / "dotfile").write_text("ascii = true")
    files.user_file.symlink_to(tmp_path / "dotfile")
    assert options().ascii


@pytest.mark.parametrize("home", ["", "relative", "/nonexistent", "/dev/null", "/proc/self/mem"])
def test_without_a_home_there_is_no_file(
    files: Files, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    for folder in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        assert options().interval == 1


def test_the_home_has_it_where_no_variable_names_a_folder(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(files.user))
    (files.user / ".config").symlink_to(files.user)
    files.user_file.write_text("ascii = true")
    assert options().ascii


@needs_root
@pytest.mark.parametrize("variable", OF_ANOTHER_USER)
def test_under_sudo_only_the_file_of_the_system_counts(
    files: Files, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    files.user_file.write_text("zzz")
    files.system_file.write_text("ascii = true")
    monkeypatch.setenv(variable, "1000")
    assert options().ascii
    state = options("--print-config").config.splitlines()[0]
    assert state == f"# {files.user_file}: not read: {variable} is set, and this is root"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    with acting_as(1):  # sudo -u: it acts as that user, whose file it is
        assert "not there" in options("--print-config").config.splitlines()[0]


@needs_root
@pytest.mark.parametrize(
    ("uid", "mode", "why_not"),
    [
        (1000, 0o644, "it belongs to uid 1000"),
        (0, 0o664, "others than root may write it; chmod go-w"),
        (0, 0o646, "others than root may write it; chmod go-w"),
    ],
)
def test_root_reads_what_root_alone_may_write(
    files: Files, capsys: pytest.CaptureFixture[str], uid: int, mode: int, why_not: str
) -> None:
    for file in (files.user_file, files.system_file):
        file.write_text("ascii = true\nzzz = 1")
        file.chmod(mode)
        os.chown(file, uid, uid)
        assert not options().ascii
        assert capsys.readouterr().err == f"sockwatch: {file} is not read: {why_not}\n"
        file.unlink()


@needs_root
@pytest.mark.parametrize(("owner", "counts"), [(1000, True), (0, True), (1001, False)])
def test_a_user_reads_files_of_their_own_and_of_root(
    monkeypatch: pytest.MonkeyPatch, owner: int, counts: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:  # which others may enter
        Path(folder).chmod(0o755)
        file = Path(folder) / NAME
        file.parent.mkdir()
        file.write_text("ascii = true")
        os.chown(file, owner, owner)
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        with acting_as(1000):
            assert options().ascii == counts


@needs_root
def test_with_two_users_at_once_no_file_of_a_user_counts(files: Files) -> None:
    files.user_file.write_text("zzz")
    code = (
        "import os; os.setresuid(1000, 0, 0)\n"
        "from sockwatch.cli import main; raise SystemExit(main(['--print-config']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "not read: this program is set-user-ID or set-group-ID" in done.stdout


@needs_root
def test_a_home_that_does_not_answer_is_left_behind(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.system_file.write_text("ascii = true")
    with silent_mount(files.user):
        assert options().ascii
    said = f"sockwatch: {files.user_file} is not read: it does not answer\n"
    assert capsys.readouterr().err == said
