"""A disk that is full when the layout is to be kept."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest

from sockwatch.kernel.bpf.btf_cache import kernel_build_id, load_layout
from sockwatch.kernel.bpf.layout import BTF_FILE
from tests.conftest import CAN_MAKE_NETNS
from tests.support.child import in_child
from tests.support.libc import check, libc
from tests.support.netns import CLONE_NEWNS, unshare

MS_REC_PRIVATE = 0x4000 | 0x40000

pytestmark = [
    pytest.mark.skipif(not CAN_MAKE_NETNS, reason="this user may not make mount namespaces"),
    pytest.mark.skipif(not BTF_FILE.exists(), reason="this kernel has no BTF"),
    pytest.mark.skipif(kernel_build_id() is None, reason="this kernel shows no build id"),
]


def mount_small_disk(place: Path, options: str) -> None:
    """A tmpfs that nobody else sees."""
    unshare(CLONE_NEWNS)
    for call in (
        (b"none", b"/", None, MS_REC_PRIVATE, None),
        (b"none", bytes(place), b"tmpfs", 0, options.encode()),
    ):
        check(libc.mount(*call))


def fill(place: Path) -> Path:
    """A file that leaves no room for another byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.parametrize("options", ["size=16k", "nr_inodes=3"], ids=["blocks", "inodes"])
def test_a_full_disk_keeps_nothing_and_leaves_nothing(tmp_path: Path, options: str) -> None:
    def work() -> tuple[bool, list[str], list[str]]:
        mount_small_disk(tmp_path, options)
        cache = tmp_path / "sockwatch"
        cache.mkdir(mode=0o700)
        filler = fill(tmp_path) if "size" in options else tmp_path / "filler"
        filler.touch()
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (cache / "probe").write_bytes(b"x")
        (cache / "probe").unlink(missing_ok=True)
        full = load_layout(cache_directory=cache)
        left = [path.name for path in cache.iterdir()]
        filler.unlink()
        roomy = load_layout(cache_directory=cache)
        kept = [path.suffix for path in cache.iterdir()]
        return full == roomy == load_layout(cache_directory=cache), left, kept

    assert in_child(work) == (True, [], [".json"])
