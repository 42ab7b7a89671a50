"""Every scenario on real servers: each prediction right, each expectation met."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from ipaddress import ip_address

import pytest

from sockwatch.kernel import host
from sockwatch.lab.model import EVERYWHERE, ClientSpec, ServerSpec
from sockwatch.lab.run import Run, run_step
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario, all_scenarios
from sockwatch.lab.session import Session
from sockwatch.lab.steps import Connect, EndTimeWaits, Start, Sysctl
from tests.support.user import run_as_user

RUN_ALL = [sys.executable, "-m", "sockwatch", "lab", "run", "--all", "--json"]
SCENARIOS = all_scenarios()
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=[one.name for one in SCENARIOS])


@by_name
def test_it_passes_on_a_sandbox_of_its_own(scenario: Scenario, sandbox: Sandbox) -> None:
    run = Run(scenario, Session(sandbox))
    while not run.done:
        report = run.next()
        assert report.good, (report.step.text, report.predicted, report.kernel, report.calls)
    if not host.lists_bound_sockets() and run.skipped is not None:
        pytest.skip(run.skipped)  # an older kernel
    assert run.skipped is None
    assert any(report.agreed for report in run.reports)


def failures(document: str) -> dict[str, list[object]]:
    """The steps that did not go as they should, by scenario."""
    found = {}
    for scenario in json.loads(document)["scenarios"]:
        bad = [s for s in scenario["steps"] if s["agreed"] is False or s["met"] is False]
        if bad or not scenario["passed"]:
            found[scenario["scenario"]] = bad
    return found


def test_all_pass_as_an_ordinary_user() -> None:
    done = run_as_user(RUN_ALL)
    assert done.returncode == 0, done.stderr or failures(done.stdout)
    document = json.loads(done.stdout)
    assert document["passed"] is True
    assert [one["scenario"] for one in document["scenarios"]] == [one.name for one in SCENARIOS]
    skipped = [
        (scenario["scenario"], step["skipped"])
        for scenario in document["scenarios"]
        for step in scenario["steps"]
        if step["skipped"]
    ]
    assert skipped == [("reuseport-group", "a second user needs root")]
    assert not any(one["skipped"] for one in document["scenarios"])


def test_what_the_host_allows_passes_on_the_host(netns: None) -> None:
    """The network namespace of the test stands for the host."""
    done = subprocess.run(
        [*RUN_ALL, "--on-host"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr or failures(done.stdout)
    assert "on the host's own loopback" in done.stderr
    skipped = {
        one["scenario"]: one["skipped"]
        for one in json.loads(done.stdout)["scenarios"]
        if not one["steps"]
    }
    needing = {one.name for one in SCENARIOS if "own network" in one.needs}
    assert skipped == dict.fromkeys(needing, "it needs a network of its own")
    hosts = bound_addresses(done.stdout)
    assert "127.0.0.1" in hosts
    assert all(ip_address(host).is_loopback for host in hosts)


def bound_addresses(document: str) -> set[str]:
    """The addresses in every bind() that was made."""
    calls = [
        call["text"]
        for scenario in json.loads(document)["scenarios"]
        for step in scenario["steps"]
        for call in step["calls"]
    ]
    endpoints = [text.split(", ")[1] for text in calls if text.startswith("bind(")]
    return {endpoint.rpartition(":")[0].strip("[]") for endpoint in endpoints}


def specs_of(scenario: Scenario) -> list[ServerSpec]:
    return [step.spec for step in scenario.steps if isinstance(step, Start)]


@by_name
def test_it_says_what_it_needs(scenario: Scenario) -> None:
    """What the host must not have, and ports that are in nobody's way."""
    addresses = [spec.address for spec in specs_of(scenario) if spec.address != EVERYWHERE]
    beyond = [a for a in addresses if not ip_address(a).is_loopback]
    settings = [step for step in scenario.steps if isinstance(step, Sysctl)]
    if beyond or settings:
        assert "own network" in scenario.needs
    if any(":" in address for address in addresses):
        assert "ipv6" in scenario.needs
    used = {spec.port for spec in specs_of(scenario)} - {0}
    assert used <= set(scenario.ports)
    first = scenario.steps[0]
    assert not isinstance(first, EndTimeWaits)


@by_name
def test_every_step_is_explained(scenario: Scenario) -> None:
    for step in scenario.steps:
        assert step.explanation.endswith((".", "?")), step.text
        if step.expect is not None and step.expect.split()[-1] in errno.errorcode.values():
            assert step.why, f"{step.text}: a refusal has a reason of its own"


def test_names_and_numbers_are_told_apart() -> None:
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    assert [one.number for one in SCENARIOS] == list(range(1, len(SCENARIOS) + 1))


@pytest.mark.parametrize("expect", ["ok", "EADDRINUSE"])
def test_an_expectation_that_is_not_met_fails_the_run(sandbox: Sandbox, expect: str) -> None:
    scenario = Scenario(
        1, "x", "", "", "", (Start("start", "a", expect="ok"), Start("again", "b", expect=expect)),
        (10013,),
    )  # fmt: skip
    run = Run(scenario, Session(sandbox))
    while not run.done:
        run.next()
    assert [report.agreed for report in run.reports] == [True, True]
    assert run.passed is (expect == "EADDRINUSE")


def test_a_prediction_that_is_wrong_fails_the_run(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockwatch looks at a port on which something is, and is made blind to it."""
    session = Session(sandbox)
    run_step(session, Start("start", "a"))
    empty = sandbox.take_snapshot(9)
    monkeypatch.setattr(sandbox, "take_snapshot", lambda *_: empty)
    report = run_step(
        session, Connect("bind", "b", ClientSpec(address="127.0.0.1", port=9, to_port=8))
    )
    assert (report.predicted, report.kernel, report.agreed) == ("ok", "connect ECONNREFUSED", True)
    object.__setattr__(empty, "only_port", 10013)
    report = run_step(session, Start("again", "b"))
    assert (report.predicted, report.kernel, report.agreed) == ("ok", "EADDRINUSE", False)
    assert not report.good


def test_a_name_that_does_not_exist_is_told() -> None:
    done = subprocess.run(
        [*RUN_ALL[:-2], "nope"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "there is no scenario 'nope'; sockwatch lab list names them" in done.stderr
