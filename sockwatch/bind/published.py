"""The cause of a socket that is held for a container, whose port it publishes."""

from __future__ import annotations

from typing import Final

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.contained import ID, NAME, stop_fix, stop_words
from sockwatch.bind.evidence import Evidence, Explanation
from sockwatch.bind.model import Cause, Fix
from sockwatch.model import Origin, Process, Publication
from sockwatch.model.publications import (
    COMMAND_LINE,
    DOCKER_PROXY,
    PUBLISHERS,
    publisher,
    told_container,
    told_target,
)
from sockwatch.units import endpoint, process_name

# They serve any process that has a network namespace of its own.
ANY: Final = frozenset({"pasta", "rootlesskit", "slirp4netns"})


def published(evidence: Evidence) -> Explanation | None:
    """A process of a container's runtime: it is not to be ended, but its container may be."""
    process = next((each for each in evidence.processes if publisher(each)), None)
    if process is None:
        return None
    program = publisher(process) or ""
    request = evidence.request
    publication = _publication(evidence, process)
    who = process_name(process.name, process.pid)
    seen = f"{program} holds ports that containers publish"
    if publication.container is None:
        text = f"{who} forwards {evidence.where} to {_target(publication)}"
    else:
        whose = _whose(publication.container, process)
        text = f"{who} holds {evidence.where}, published by {whose}"
        if publication.port is not None:
            text += f", container port {publication.port}"
        seen = f"{_source(publication.container)} names {publication.container.short_name}"
    identity = CauseId.DOCKER_PROXY if program == DOCKER_PROXY else CauseId.CONTAINER_RUNTIME
    uid = evidence.snapshot.facts.uid
    return Cause(identity, text, (seen,)), (
        *_find(publication, program, request.port),
        _stop(publication, process, uid),
    )


def _publication(evidence: Evidence, process: Process) -> Publication:
    """What was found of it, else what its command line tells."""
    protocol, port = evidence.request.protocol, evidence.request.port
    for publication in evidence.snapshot.publications:
        if (publication.protocol, publication.pid) == (protocol, process.pid):
            return publication
    runtime = PUBLISHERS[publisher(process) or ""]
    target = told_target(process, protocol, port)
    return Publication(protocol, process.pid, runtime, told_container(process), *target)


def _target(publication: Publication) -> str:
    """``container 172.17.0.2:80``, ``a container``."""
    if publication.address is not None:
        return f"container {endpoint(publication.address, publication.port)}"
    if publication.port is not None:
        return f"port {publication.port} of a container, or of another network namespace"
    return "a container"


def _source(container: Origin) -> str:
    """``a cgroup``, ``a command line``, or the path of a file."""
    return container.known_by if "/" in container.known_by else f"a {container.known_by}"


def _find(publication: Publication, program: str, port: int) -> tuple[Fix, ...]:
    if publication.container is None and program == DOCKER_PROXY:
        return (Fix("find the container", f"docker ps --filter publish={port}"),)
    return ()


def _stop(publication: Publication, process: Process, uid: int | None) -> Fix:
    """Stop the container; in words where no command is certain to stop this one alone."""
    container = publication.container
    if container is None:
        if publisher(process) == DOCKER_PROXY:
            return Fix("stop it with docker stop", step="then")
        what = "what it publishes the port for" if publication.runtime in ANY else "that container"
        return Fix(f"stop {what}; do not stop the runtime")
    words = _words(publication.client, container, process, uid)
    label = _whose(container, process)
    return stop_fix(f"stop {label}", words, label)


def _whose(container: Origin, process: Process) -> str:
    """``container web2``, ``container web2 of user ann``: the system may have one of that name."""
    of_user = "" if container.manager_uid is None else f" of user {process.user}"
    return f"{container.label}{of_user}"


def _words(
    client: tuple[str, ...], container: Origin, process: Process, uid: int | None
) -> tuple[str, ...]:
    """Of the command; none where it would have to run as somebody whom we cannot become."""
    name = container.name if container.name and NAME.fullmatch(container.name) else container.id
    if container.known_by == COMMAND_LINE:  # another one may have got that name since
        name = container.id
    if not client or not (NAME.fullmatch(name) or ID.fullmatch(name)):
        return ()
    return stop_words((*client, "stop", name), container, process.user, uid)
