"""The unit of a process that has ended: by the id of its cgroup."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockwatch.kernel.proc.cgroups import _cgroup2_mount, origin_of_cgroup_id
from sockwatch.watch import FailureWatch
from tests.support.failing import bind, collect, forked, of_pid
from tests.support.privilege import REAL_ROOT

CONTAINER = f"docker-{'0123456789abcdef' * 4}.scope"


@pytest.fixture(params=["sockwatch-test.service", CONTAINER])
def cgroup(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A cgroup of that name, empty again at the end."""
    mount = _cgroup2_mount()
    if not REAL_ROOT or mount is None:
        pytest.skip("needs root and a mounted cgroup2")
    path = Path(mount, request.param)
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    yield path
    path.rmdir()


def test_a_process_that_has_ended(watch: FailureWatch, cgroup: Path) -> None:
    def fail() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        bind(socket.AF_INET, ("127.0.0.1", 8080))

    with socket.create_server(("127.0.0.1", 8080)):
        (explained,) = collect(watch, of_pid(forked(fail)))
    process = explained.failure.process
    assert process is not None
    assert process.state == "X"
    if cgroup.name == CONTAINER:
        assert (process.container, process.unit) == ("0123456789ab", None)
    else:
        assert (process.container, process.unit) == (None, cgroup.name)


@pytest.mark.parametrize("cgroup_id", [0, 1, 1 << 63])
def test_no_such_cgroup(cgroup_id: int) -> None:
    assert origin_of_cgroup_id(cgroup_id) is None
