"""Stop the container that a process runs in, by its runtime: a process of it may come back."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Final

from sockwatch.bind.acts import StopContainer
from sockwatch.bind.model import Fix
from sockwatch.model import Origin, Process

# What docker(1) and podman(1) let a container be called; no shell takes it for anything else.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
ID: Final = re.compile(r"[0-9a-f]{12,64}")
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def stop_container_of(processes: Iterable[Process], uid: int | None) -> Fix | None:
    """Stop the one container that all of them run in; None if they do not, or none is known.

    Only of a runtime whose containers are one program each. Its id names it, which no other
    container has, whichever daemon is asked. `uid` is the asker's.
    """
    processes = list(processes)
    containers = {process.origin.container if process.origin else None for process in processes}
    container = containers.pop() if len(containers) == 1 else None
    if container is None or not ID.fullmatch(container.id):
        return None
    if container.kind == "docker":
        client = _docker(container)
    elif container.kind == "podman":
        client = ("podman",)
    else:
        return None
    first = processes[0]  # there is one, since there is a container
    user = first.user if first.uid == container.manager_uid else None
    words = stop_words((*client, "stop", container.id), container, user, uid)
    return stop_fix(f"stop {container.label}, in which it runs", words, container.label)


def stop_fix(text: str, words: tuple[str, ...], label: str) -> Fix:
    """The fix that these words are; in words alone without them."""
    # sudo(8) would ask for a password.
    act = StopContainer(words, label) if words and words[0] != "sudo" else None
    return Fix(text, shlex.join(words) if words else None, act=act)


def stop_words(
    stop: tuple[str, ...], container: Origin, user: str | None, uid: int | None
) -> tuple[str, ...]:
    """The words that run `stop` as whose container it is; none where we cannot become that one.

    `user` is the name of the container's user, `uid` the asker's.
    """
    if container.manager_uid is None and uid and stop[0] == "podman":
        return ("sudo", *stop)  # without it, podman(1) stops the asker's of that name
    if container.manager_uid in (None, uid) or stop[:2] == ("docker", "-H"):
        return stop
    if uid == 0 and user is not None and _USER.fullmatch(user):
        return ("runuser", "-l", user, "-c", shlex.join(stop))
    return ()


def _docker(container: Origin) -> tuple[str, ...]:
    if container.manager_uid is None:
        return ("docker",)
    return ("docker", "-H", f"unix:///run/user/{container.manager_uid}/docker.sock")
