"""Rules that cannot be read are a gap, never none; and no tool is waited for."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sockwatch.kernel import tools
from sockwatch.kernel.netfilter import chains
from sockwatch.kernel.netfilter.reader import KEPT_S, RedirectReader
from sockwatch.model import Gap
from tests.kernel.netfilter.rules_of_hosts import iptables, nft, places, read
from tests.support.child import become, in_child
from tests.support.privilege import needs_root

ANYBODY = 1234


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Let only these be installed; ``_`` in a name stands for ``-``."""
    for name, script in scripts.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setattr(tools, "FOLDERS", f"{folder}")


def only_gap(port: int = 80) -> Gap:
    found, gaps = read(port)
    assert not found
    (gap,) = gaps
    assert gap.code == "nat-rules-unseen"
    return gap


@needs_root
def test_an_ordinary_user(netns: None) -> None:
    nft("tcp dport 80 redirect to :1")
    assert places(80)  # and imports what the user may not read

    def as_user() -> Gap:
        become(ANYBODY)
        return only_gap()

    gap = in_child(as_user)
    assert gap.text.startswith("no permission to read the NAT rules")
    assert gap.remedy == "run as root to see them"


def test_a_namespace_without_rules(netns: None) -> None:
    assert read(80) == ((), ())


def test_no_tool_is_run_where_there_are_no_rules(
    netns: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, monkeypatch, nft="exit 1", iptables_save="exit 1")
    assert read(80) == ((), ())


def test_without_nft(netns: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nft("tcp dport 80 redirect to :1")
    programs(tmp_path, monkeypatch)
    gap = only_gap()
    assert gap.text.startswith("nft is not installed")
    assert gap.remedy == "install it"


def test_what_iptables_shows_without_nft(
    netns: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iptables("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 2")
    programs(tmp_path, monkeypatch, iptables_nft_save='PATH=/usr/sbin exec iptables-nft-save "$@"')
    assert places(80) == [("REDIRECT", None, 2)]


def test_without_iptables(netns: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iptables("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 2")
    programs(tmp_path, monkeypatch, nft='PATH=/usr/sbin exec nft "$@"')
    assert only_gap().text.startswith("iptables-save is not installed: NAT rules of iptables")


def test_a_table_of_iptables_in_which_nft_has_made_rules_too(netns: None) -> None:
    iptables("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 2")
    nft_rule = "add rule ip nat PREROUTING tcp dport { 90, 91 } redirect to :3"
    subprocess.run(["nft", nft_rule], check=True)
    (redirect,), (gap,) = read(90)
    assert redirect.port == 3
    assert gap.text.startswith("nft does not show all rules of table ip nat")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exec sleep 1000", "nft did not answer in time"),
        ("trap '' TERM; while :; do :; done", "nft did not answer in time"),
        ("exec >&-; exec sleep 1000", "nft did not answer in time"),
        ("exec cat /dev/zero", "nft prints more than 16 MiB"),
        ("exit 3", "nft failed with status 3"),
        ("kill -9 $$", "nft failed with status -9"),
        ("echo '{}'", "nft printed something else than a ruleset"),
        ("printf '%02000d' 0 | tr 0 [", "nft printed something else than a ruleset"),
    ],
)
def test_a_tool_that_does_not_do_its_part(
    netns: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    nft("tcp dport 80 redirect to :1")
    programs(tmp_path, monkeypatch, nft=f"PATH=/usr/bin:/bin\n{script}")
    started = time.monotonic()
    assert only_gap().text.startswith(said)
    assert time.monotonic() - started < tools.LIMIT_S + 1
    with pytest.raises(ChildProcessError):  # it has ended, and left nothing behind
        os.waitpid(-1, os.WNOHANG)


def test_rules_are_kept_for_a_while(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = RedirectReader()
    assert reader.read(("tcp",), 80) == ((), ())
    nft("tcp dport 80 redirect to :1")
    assert reader.read(("tcp",), 80) == ((), ())
    later = time.monotonic() + KEPT_S + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert reader.read(("tcp",), 80)[0]


def test_a_kernel_that_has_not_loaded_nat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files(loaded: str, built_in: str) -> Callable[..., str]:
        texts = {"modules": loaded, "modules.builtin": built_in}
        return lambda path: texts[path.name]

    for loaded, built_in, has_nat in (
        ("nf_tables 1 0 - Live 0x0\n", "kernel/net/ipv6/ipv6.ko\n", False),
        ("nf_nat 1 0 - Live 0x0\n", "", True),
        ("", "kernel/net/netfilter/nf_nat.ko\n", True),
    ):
        monkeypatch.setattr(Path, "read_text", files(loaded, built_in))
        assert chains.has_nat() is has_nat


def test_rules_with_too_many_ways_are_not_followed_to_the_end(netns: None) -> None:
    chains_of_jumps = "\n".join(
        f"chain c{i} {{ jump c{i + 1}; jump c{i + 1}; jump c{i + 1}; jump c{i + 1}; }}"
        for i in reversed(range(10))
    )
    nft("jump c0", before=f"chain c10 {{ tcp dport 80 redirect to :1; }}\n{chains_of_jumps}")
    assert only_gap().text.startswith("there are more ways through the rules than are followed")


def test_more_redirects_than_anybody_reads_are_not_listed(netns: None) -> None:
    rules = [
        f"ip saddr 10.{n >> 8}.{n & 255}.1 tcp dport 80 redirect to :{n + 1}" for n in range(1001)
    ]
    nft(*rules)
    assert only_gap().text.startswith("more of them take the port's traffic than are shown")


def test_many_hooks_are_followed_as_one(netns: None) -> None:
    hooks = "\n".join(
        f"chain h{n} {{ type nat hook output priority {n}; jump c0; jump c0; jump c0; }}"
        for n in range(5)
    )
    jumps = "\n".join(
        f"chain c{i} {{ jump c{i + 1}; jump c{i + 1}; jump c{i + 1}; jump c{i + 1}; }}"
        for i in reversed(range(6))
    )
    nft(
        "jump c0",
        before=f"chain c6 {{ tcp dport 80 accept; tcp dport 80 accept; }}\n{jumps}\n{hooks}",
    )
    assert only_gap().text.startswith("there are more ways through the rules than are followed")


def test_chains_without_end(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "MOST_CHAINS", 3)
    nft("tcp dport 80 redirect to :1", before="chain a { }; chain b { };")
    assert places(80)
    nft("tcp dport 80 redirect to :1", before="chain a { }; chain b { }; chain d { };")
    assert only_gap().text.startswith("there are more than 3 chains")
