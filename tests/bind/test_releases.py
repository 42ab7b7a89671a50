"""The names of kernels: what they tell of the rules, and what they hide."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from sockwatch.bind import BindRequest, explain_bind
from sockwatch.kernel import host
from sockwatch.model import Snapshot, Socket, SocketGroup
from tests.bind.makers import FACTS, group, request, snapshot, socket

TIME_WAIT = group("TIME_WAIT", "127.0.0.1", (True, False))
DUAL = socket("LISTEN", "::", v6only=False)
MAPPED = socket("LISTEN", "::ffff:127.0.0.1", v6only=False)
NGINX = (socket("LISTEN", "0.0.0.0"), socket("LISTEN", "::", v6only=True))
SPECIFIC = request("127.0.0.1")


def said(kernel: str, patch_level: str | None, *owners: Socket | SocketGroup) -> tuple[str, bool]:
    """The outcome, and whether the gap says that the kernel's name hides what decides."""
    verdict = explain_bind(SPECIFIC, look(kernel, patch_level, *owners), FACTS)
    return verdict.bind, "kernel-patches" in {gap.code for gap in verdict.gaps}


def look(kernel: str, patch_level: str | None, *owners: Socket | SocketGroup) -> Snapshot:
    return replace(snapshot(*owners, kernel=kernel), patch_level=patch_level)


@pytest.mark.parametrize(
    ("kernel", "patch_level", "owners", "outcome"),
    [
        # Debian 12: the number after the dash is the ABI's.
        ("6.1.0-56-cloud-amd64", "6.1.192", [TIME_WAIT], "EADDRINUSE"),
        ("6.1.0-56-cloud-amd64", "6.1.192", [DUAL], "EADDRINUSE"),
        ("6.1.0-56-cloud-amd64", "6.1.192", [*NGINX], "EADDRINUSE"),
        ("6.1.0-1-amd64", "6.1.4", [TIME_WAIT], "ok"),
        # Ubuntu's 6.2 and 6.8, with /proc/version_signature.
        ("6.2.0-39-generic", "6.2.16", [DUAL], "EADDRINUSE"),
        ("6.8.0-45-generic", "6.8.12", [*NGINX], "EADDRINUSE"),
        ("6.8.0-31-generic", "6.8.1", [*NGINX], "depends"),
        # Vanilla numbers, with something behind them.
        ("6.6.87.2-microsoft-standard-WSL2", None, [*NGINX], "EADDRINUSE"),
        ("6.12.118+deb13-cloud-amd64", "6.12.118", [*NGINX], "EADDRINUSE"),
        ("6.8.12-4-pve", None, [*NGINX], "EADDRINUSE"),
        ("6.6.25", None, [*NGINX], "depends"),
        ("6.7.12-200.fc39.x86_64", None, [*NGINX], "depends"),
        ("6.1.84", None, [*NGINX], "depends"),
        ("6.1.85", None, [*NGINX], "EADDRINUSE"),
        # A replaced release that the patch level does not belong to.
        ("6.1.20", "6.1.192", [DUAL], "ok"),
        ("6.6.0", "6.1.192", [*NGINX], "depends"),
    ],
)
def test_the_patch_level_decides(
    kernel: str, patch_level: str | None, owners: list[Socket | SocketGroup], outcome: str
) -> None:
    assert said(kernel, patch_level, *owners) == (outcome, False)


@pytest.mark.parametrize(
    ("kernel", "owners"),
    [
        ("6.1.0-56-cloud-amd64", [TIME_WAIT]),
        ("6.1.0-56-cloud-amd64", [DUAL]),
        ("6.1.0-56-cloud-amd64", [MAPPED]),
        ("6.2.0-39-generic", [DUAL]),
        ("5.14.0-503.11.1.el9_5.x86_64", [DUAL]),
        ("5.14.0-503.11.1.el9_5.x86_64", [TIME_WAIT]),
        ("4.18.0-553.el8_10.x86_64", [*NGINX]),
        ("5.15.0-300.163.18.1.el9uek.x86_64", [DUAL]),
        ("5.10.0-216.0.0.115.oe2203sp4.x86_64", [MAPPED]),
        ("5.14.21-150500.55.83-default", [DUAL]),
        ("6.4.0-150600.23.7-default", [*NGINX]),
    ],
)
def test_what_the_name_hides_it_depends_on(kernel: str, owners: list[Socket | SocketGroup]) -> None:
    verdict = explain_bind(SPECIFIC, look(kernel, None, *owners), FACTS)
    assert said(kernel, None, *owners) == ("depends", True)
    assert len(owners) > 1 or not any(blocker.certain for blocker in verdict.blockers)
    assert any(kernel in gap.text for gap in verdict.gaps)
    *_, last = verdict.conditions
    assert kernel in last.question
    assert (last.unknown, last.yes) == ("kernel patches", "EADDRINUSE")
    assert verdict.cause is not None


@pytest.mark.parametrize("kernel", ["6.1.0-56-amd64", "5.14.0-503.el9.x86_64", "6.8.0-45-generic"])
def test_what_all_of_them_agree_on_is_certain(kernel: str) -> None:
    assert said(kernel, None, socket("LISTEN", "127.0.0.1")) == ("EADDRINUSE", False)
    assert said(kernel, None, socket("LISTEN", "127.0.0.2")) == ("ok", False)
    assert said(kernel, None, socket("LISTEN", "0.0.0.0")) == ("EADDRINUSE", False)


@pytest.mark.parametrize(
    ("kernel", "patch_level", "outcome"),
    [
        ("6.1.167", None, "depends"),
        ("6.1.168", None, "EADDRINUSE"),
        ("6.6.131", None, "EADDRINUSE"),
        ("6.12.79", None, "depends"),
        ("6.12.118+deb13-amd64", None, "EADDRINUSE"),
        ("6.16.12", None, "depends"),
        ("6.18.21", None, "EADDRINUSE"),
        ("6.19.10", None, "depends"),
        ("7.3.4", None, "EADDRINUSE"),
        ("6.1.0-44-amd64", "6.1.170", "EADDRINUSE"),
        ("5.15.0-177-generic", "5.15.199", "depends"),
    ],
)
def test_many_udp_sockets(kernel: str, patch_level: str | None, outcome: str) -> None:
    owners = [socket("UNCONN", f"127.0.0.{n}") for n in range(1, 13)]
    seen = replace(snapshot(*owners, kernel=kernel, protocol="udp"), patch_level=patch_level)
    assert explain_bind(request(protocol="udp"), seen, FACTS).bind == outcome


def test_port_zero_on_a_kernel_whose_name_hides_its_fixes() -> None:
    facts = replace(FACTS, port_range=(8080, 8080))
    verdict = explain_bind(
        BindRequest("tcp", "127.0.0.1", 0), look("6.1.0-56-amd64", None, DUAL), facts
    )
    assert verdict.bind == "depends"
    assert "kernel-patches" in {gap.code for gap in verdict.gaps}


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)", "6.1.192"),
        ("#1 SMP Debian 5.10.223-1~bpo10+1 (2024-08-20)", "5.10.223"),
        ("#45-Ubuntu SMP PREEMPT_DYNAMIC Fri Aug 30 12:02:04 UTC 2024", None),
        ("#1 SMP PREEMPT_DYNAMIC @0", None),
    ],
)
def test_where_debian_says_it(
    monkeypatch: pytest.MonkeyPatch, version: str, told: str | None
) -> None:
    if os.path.exists("/proc/version_signature"):
        pytest.skip("this is Ubuntu's kernel")
    real = os.uname()
    fields = (real.sysname, real.nodename, real.release, version, real.machine)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(fields))
    assert host.patch_level() == told


def test_enterprise_kernels_cost_little() -> None:
    """They are judged as each kernel that they may be like."""
    seen = look("4.18.0-553.el8.x86_64", None, *[group(address=f"127.0.0.{n}") for n in range(99)])
    started = time.process_time()
    explain_bind(request(), seen, FACTS)
    assert time.process_time() - started < 1
