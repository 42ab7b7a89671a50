"""Who publishes a port for which container, and the one command that stops that container."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind
from sockwatch.model import Origin, Process, Publication
from sockwatch.model.origin import OriginKind
from sockwatch.model.publications import Target, publisher, told_container, told_target
from sockwatch.view.lines import Line
from sockwatch.view.published import published_lines, redirect_warnings
from tests.bind.test_redirected import CONDITIONAL, FACTS, LOCAL, TO
from tests.support import build

ID = "12ab" * 16
PROXY = "docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2"


def process(command: str) -> Process:
    program = command.split(maxsplit=1)[0].rpartition("/")[2]
    return build.process(9, program, command=command)


CONMON = process(f"/usr/bin/conmon -c {ID} -n web2 --exit-command /usr/bin/podman")
DOCKER_PROXY = process(f"/usr/bin/{PROXY} -container-port 80")


def explained(of: Process, *publications: Publication, uid: int = 0) -> Verdict:
    listener = build.socket("LISTEN", "0.0.0.0", 8080, flags=build.A, holders=(build.holder(of),))
    shown = build.snapshot([build.port(8080, listeners=(listener,))], only_port=8080)
    facts = replace(FACTS, uid=uid)
    shown = replace(shown, publications=publications, facts=facts)
    return explain_bind(BindRequest("tcp", "0.0.0.0", 8080), shown)


def published(
    container: Origin | None, *client: str, port: int | None = 80, address: str | None = None
) -> Publication:
    return Publication("tcp", 9, "podman", container, address, port, client)


def container(name: str | None, kind: OriginKind = "podman", uid: int | None = None) -> Origin:
    return Origin(kind, ID, name, "cgroup", uid)


def commands(verdict: Verdict) -> list[str | None]:
    assert verdict.cause is not None
    return [fix.command for fix in verdict.fixes]


def test_the_container_is_named_and_stopped() -> None:
    verdict = explained(CONMON, published(container("web2"), "podman"))
    assert verdict.cause is not None
    assert verdict.cause.id == "container-runtime"
    assert verdict.cause.text == (
        "conmon(9) holds 0.0.0.0:8080, published by container web2, container port 80"
    )
    assert verdict.cause.evidence == ("a cgroup names web2",)
    assert commands(verdict) == ["podman stop web2"]


def test_a_container_whose_port_is_not_known() -> None:
    verdict = explained(CONMON, published(container("web2"), "podman", port=None))
    assert verdict.cause is not None
    assert verdict.cause.text == "conmon(9) holds 0.0.0.0:8080, published by container web2"


@pytest.mark.parametrize(
    ("publication", "command"),
    [
        (
            published(container("web2"), "podman", "--root", "/a b"),
            "podman --root '/a b' stop web2",
        ),
        (published(container(None), "docker"), f"docker stop {ID}"),
        (published(container("--all"), "podman"), f"podman stop {ID}"),
        (published(container("a;rm -r /"), "podman"), f"podman stop {ID}"),
        (published(container("a…"), "podman"), f"podman stop {ID}"),
        # The name that conmon was started with may be that of another one by now.
        (published(told_container(CONMON), "podman"), f"podman stop {ID}"),
        (published(container("web2")), None),
        (published(Origin("podman", "", "-f", "command line"), "podman"), None),
        (published(container("shop/cart-0", "pod")), None),
    ],
)
def test_a_command_acts_on_that_container_alone(
    publication: Publication, command: str | None
) -> None:
    assert commands(explained(CONMON, publication)) == [command]


@pytest.mark.parametrize(
    ("user", "asked_by", "command"),
    [
        ("ann", 0, "runuser -l ann -c 'podman stop web2'"),
        ("ann", 1000, "podman stop web2"),
        ("ann", 1001, None),
        ("1000", 0, None),  # who has no name has no login shell
        ("-ann", 0, None),
    ],
)
def test_a_users_container_is_stopped_as_that_user(
    user: str, asked_by: int, command: str | None
) -> None:
    monitor = CONMON._replace(user=user, uid=1000)
    publication = published(container("web2", uid=1000), "podman")
    verdict = explained(monitor, publication, uid=asked_by)
    assert commands(verdict) == [command]
    assert verdict.fixes[0].text == f"stop container web2 of user {user}"
    assert f"published by container web2 of user {user}" in str(verdict.cause)


@pytest.mark.parametrize(
    ("client", "command"), [("podman", "sudo podman stop web2"), ("docker", "docker stop web2")]
)
def test_a_container_of_the_systems_is_not_the_askers(client: str, command: str) -> None:
    verdict = explained(CONMON, published(container("web2"), client), uid=1000)
    assert commands(verdict) == [command]


def test_what_was_not_found_is_told_as_far_as_it_is_known() -> None:
    verdict = explained(DOCKER_PROXY)
    assert verdict.cause is not None
    assert verdict.cause.id == "docker-proxy"
    assert verdict.cause.text.endswith("forwards 0.0.0.0:8080 to container 172.17.0.2:80")
    assert commands(verdict) == ["docker ps --filter publish=8080", None]
    assert "container web2" in str(explained(CONMON).cause)
    assert commands(explained(CONMON)) == [None]
    pasta = explained(process("pasta -t 8080:80"))
    assert "to port 80 of a container, or of another network namespace" in str(pasta.cause)
    assert "stop what it publishes the port for" in pasta.fixes[0].text


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (f"{PROXY} -container-port 80", Target("172.17.0.2", 80)),
        (f"{PROXY} -container-port=80", Target("172.17.0.2", 80)),
        (f"{PROXY} -container-port x", Target("172.17.0.2", None)),
        (PROXY, Target("172.17.0.2", None)),
        ("docker-proxy -container-port", Target()),
        ("docker-proxy -container-ip ::evil -container-port 99999", Target()),
        ("docker-proxy -container-ip fe80::1%a -container-port \u0663", Target()),
        ("docker-proxy -container-ip fd00:0::2", Target("fd00::2")),
        ("pasta -t 8000-8090:65530", Target()),
        ("pasta -t 8080:80", Target(port=80)),
        ("pasta --tcp-ports 127.0.0.1/8070-8090:170-190,9000", Target(port=180)),
        ("pasta -t 9000,8080", Target(port=8080)),
        ("pasta -t auto -T 8080", Target()),
        ("pasta -u 8080:80", Target()),
        ("rootlesskit -p 127.0.0.1:8080:80/tcp sh", Target(port=80)),
        ("rootlesskit --publish=0.0.0.0:8080:80/tcp4 sh", Target(port=80)),
        ("rootlesskit -p 127.0.0.1:8080:80/udp sh", Target()),
        ("rootlesskit -p 127.0.0.1:8081:80/tcp sh", Target()),
        ("rootlessport", Target()),
        ("nginx -t 8080:80", Target()),
    ],
)
def test_where_a_command_line_says_that_traffic_goes(command: str, target: Target) -> None:
    assert told_target(process(command), "tcp", 8080) == target


def test_what_conmon_says() -> None:
    assert told_container(CONMON) == Origin("podman", ID, "web2", "command line")
    crio = process(f"conmon --cid={ID} --name=k8s_cart")
    assert told_container(crio) == Origin("container", ID, "k8s_cart", "command line")
    assert told_container(process("conmon")) is None
    assert told_container(process(f"sh -c {ID}")) is None
    assert told_container(CONMON._replace(arguments=())) is None  # before its execve(2) is over


def test_a_program_is_known_by_its_executable_first() -> None:
    renamed = build.process(9, "exe")._replace(executable="/usr/lib/podman/rootlessport")
    assert publisher(renamed) == "rootlessport"
    assert publisher(build.process(9, "nginx")) is None
    assert publisher(build.process(9, "dockerd")) == "dockerd"
    assert publisher(build.process(9, "dockerd")._replace(executable="/srv/game")) is None


def test_a_container_is_not_asked_which_one_it_is() -> None:
    assert told_container(CONMON._replace(origin=container("evil"))) is None


def test_what_conmon_says_is_not_endless() -> None:
    told = told_container(process(f"conmon -c {'a' * 900} -n {'b' * 900}"))
    assert told is not None
    assert (len(told.id), len(told.name or "")) == (64, 64)


def shown(*publications: Publication) -> list[str]:
    snapshot = replace(build.snapshot([], only_port=8080), publications=publications)
    return [line.text for line in published_lines("tcp", 8080, snapshot)]


def test_the_second_line() -> None:
    web = published(container("web2"))
    assert shown(web, web) == ["-> web2:80 (podman)"]
    assert shown(web._replace(port=None)) == ["-> web2 (podman)"]
    assert shown(published(None, address="fd00::2")) == ["-> [fd00::2]:80 (podman)"]
    assert shown(published(None)) == ["-> port 80 (podman)"]
    assert shown(published(None, port=None), web._replace(protocol="udp")) == []


def warned(of: Process, *publications: Publication, address: str = "0.0.0.0") -> list[Line]:
    listener = build.socket("LISTEN", address, 8080, flags=build.A, holders=(build.holder(of),))
    snapshot = build.snapshot([build.port(8080, listeners=(listener,))], only_port=8080)
    found = replace(
        snapshot, publications=publications, redirects=(TO, LOCAL, CONDITIONAL), facts=FACTS
    )
    return [*redirect_warnings("tcp", 8080, found)]


def test_a_server_whose_clients_are_taken_away() -> None:
    nginx = build.process(9, "nginx")
    (line,) = warned(nginx)
    assert line == Line("warning", "no client will reach it: DNAT to 10.88.0.2:80, by rule")
    assert not warned(CONMON, published(container("web2")))
    assert not warned(nginx, address="::1")
