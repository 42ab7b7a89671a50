"""The namespaces of real containers are theirs."""

from __future__ import annotations

import os

import pytest

from sockwatch.kernel.netns.catalogue import NetnsCatalogue
from tests.support.beds import bed, docker, dockerd, podman
from tests.support.privilege import needs_btf, needs_root

pytestmark = [needs_root, needs_btf, pytest.mark.timeout(120)]


def label_of(pid: int) -> str:
    inode = os.stat(f"/proc/{pid}/ns/net").st_ino
    with NetnsCatalogue() as catalogue:
        (netns,) = [each for each in catalogue.namespaces() if each.inode == inode]
    return netns.label


def test_podman() -> None:
    with bed() as here:
        web = podman(here, "web")
        assert label_of(web.pid) == "container web"
        # The bed itself was made by `unshare -n`, and belongs to nobody.
        assert label_of(here.pid) == f"netns {os.stat(f'/proc/{here.pid}/ns/net').st_ino}"


def test_docker() -> None:
    with bed() as here, dockerd(here):
        web = docker(here, "web")
        assert label_of(web.pid) == f"container {web.id[:12]}"  # its name is in the bed's files
