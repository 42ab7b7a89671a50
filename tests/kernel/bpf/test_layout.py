"""Where the offsets come from: the running kernel's BTF, or the cache."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from sockwatch.kernel.bpf import btf_cache as module
from sockwatch.kernel.bpf.btf_cache import kernel_build_id, load_layout
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.layout import FIELDS, FUNCTIONS, Layout, read_layout
from tests.support.privilege import REAL_ROOT, needs_btf

needs_build_id = pytest.mark.skipif(kernel_build_id() is None, reason="no kernel build id")


@needs_btf
def test_this_kernel_has_everything() -> None:
    layout = read_layout()
    assert set(layout.functions) == set(FUNCTIONS)
    assert set(FIELDS) - set(layout.fields) <= {"inet_sock.local_port_range"}  # since 6.3
    assert layout.field("sock_common.skc_reuse").bits == 4
    assert layout.field("sock_common.skc_v6_rcv_saddr").size == 16


@needs_btf
@needs_build_id
def test_the_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = load_layout(cache_directory=tmp_path / "new")
    (file,) = (tmp_path / "new").iterdir()
    assert file.name == f"btf-{kernel_build_id()}.json"
    assert file.stat().st_mode & 0o777 == 0o600

    def never(_: object) -> Layout:
        raise AssertionError

    monkeypatch.setattr(module, "read_layout", never)
    assert load_layout(cache_directory=tmp_path / "new") == layout


@needs_btf
@needs_build_id
@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"version": 1}', '{"version": 0, "asked": []}', '"\\ud800"', "\xff"],
)
def test_a_damaged_cache_is_made_again(tmp_path: Path, text: str) -> None:
    layout = load_layout(cache_directory=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(text, encoding="latin-1" if text == "\xff" else "utf-8")
    assert load_layout(cache_directory=tmp_path) == layout
    assert json.loads(file.read_text())["functions"] == layout.functions


@needs_btf
@needs_build_id
def test_a_cache_that_others_can_write_is_not_believed(tmp_path: Path) -> None:
    layout = load_layout(cache_directory=tmp_path)
    (file,) = tmp_path.iterdir()
    lies = json.loads(file.read_text())
    lies["functions"]["bpf_iter_tcp"] = 1
    file.write_text(json.dumps(lies))
    assert load_layout(cache_directory=tmp_path) != layout
    file.chmod(0o666)
    assert load_layout(cache_directory=tmp_path) == layout


@needs_btf
@needs_build_id
@pytest.mark.skipif(not REAL_ROOT, reason="needs root to give a directory away")
def test_nothing_is_written_into_the_directory_of_another(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    load_layout(cache_directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_btf
def test_nothing_is_made_in_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOTS_CACHE", tmp_path / "roots")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    assert load_layout().functions
    assert list(home.iterdir()) == []
    assert (tmp_path / "roots").exists() == (os.geteuid() == 0 and kernel_build_id() is not None)


def plant_link(place: Path, name: str) -> None:
    (place / name).symlink_to(place.parent / "layout.json")


def plant_fifo(place: Path, name: str) -> None:
    os.mkfifo(place / name, 0o600)


def plant_huge_file(place: Path, name: str) -> None:
    with (place / name).open("wb") as file:
        file.truncate(1 << 40)
    (place / name).chmod(0o600)


def plant_folder(place: Path, name: str) -> None:
    (place / name).mkdir()


@needs_btf
@needs_build_id
@pytest.mark.parametrize("plant", [plant_link, plant_fifo, plant_huge_file, plant_folder])
def test_only_a_small_file_of_our_own_is_read(
    tmp_path: Path, plant: Callable[[Path, str], None]
) -> None:
    layout = load_layout(cache_directory=tmp_path / "first")
    (file,) = (tmp_path / "first").iterdir()
    lies = json.loads(file.read_text())
    lies["functions"]["bpf_iter_tcp"] = 1
    (tmp_path / "layout.json").write_text(json.dumps(lies))
    place = tmp_path / "second"
    place.mkdir(mode=0o700)
    plant(place, file.name)
    assert load_layout(cache_directory=place) == layout


@needs_btf
@needs_build_id
def test_a_folder_behind_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("target")
    assert load_layout(cache_directory=tmp_path / "link").functions
    assert list((tmp_path / "target").iterdir()) == []


@needs_btf
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert load_layout(cache_directory=tmp_path / "file" / "x").functions


def test_no_btf(tmp_path: Path) -> None:
    with pytest.raises(BpfUnavailable) as caught:
        read_layout(tmp_path / "vmlinux")
    assert caught.value.reason == "no-btf"
    assert caught.value.remedy


def test_bad_btf(tmp_path: Path) -> None:
    file = tmp_path / "vmlinux"
    file.write_bytes(b"nonsense" * 8)
    with pytest.raises(BpfUnavailable) as caught:
        read_layout(file)
    assert caught.value.reason == "bad-btf"


def test_what_a_kernel_lacks_is_named() -> None:
    empty = Layout({}, {})
    for ask in (lambda: empty.function("bpf_iter_tcp"), lambda: empty.field("sock.sk_socket")):
        with pytest.raises(BpfUnavailable) as caught:
            ask()
        assert caught.value.reason == "old-kernel"
    assert "sock.sk_socket" in str(caught.value)


def test_build_ids(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    other = struct.pack("=III", 6, 1, 0x101) + b"Linux\0\0\0" + b"\0\0\0\0"
    build_id = struct.pack("=III", 4, 4, 3) + b"GNU\0" + b"\x01\x02\xfe\xff"
    file.write_bytes(other + build_id)
    assert kernel_build_id(file) == "0102feff"
    file.write_bytes(other)
    assert kernel_build_id(file) is None
    file.write_bytes(build_id[:14])
    assert kernel_build_id(file) is None
    assert kernel_build_id(tmp_path / "none") is None
