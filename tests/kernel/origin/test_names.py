"""Names from the files of runtimes: what each has, what may be believed, and what may not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from sockwatch.kernel.origin import of_cgroups, runtimes
from sockwatch.kernel.origin.files import MOST_BYTES, Documents, in_time
from sockwatch.kernel.proc.services import UNIFIED, hierarchy_mounts
from sockwatch.model import Origin
from tests.support.fuse import silent_mount
from tests.support.privilege import needs_root
from tests.support.user import UID as SOMEBODY

ID: Final = "a1" * 32
OTHER_ID: Final = "b2" * 32
POD_UID: Final = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
DOCKER_FILE: Final = f"docker/containers/{ID}/config.v2.json"
TASK_FILE: Final = f"containerd/{runtimes.TASKS}/k8s.io/{ID}/config.json"
CRIO_FILE: Final = f"run/overlay-containers/{ID}/userdata/config.json"
STORAGE_FILE: Final = "storage/overlay-containers/containers.json"
IN_POD: Final = f"pod{POD_UID}/"
CRI: Final = "io.kubernetes.cri"
pytestmark = needs_root


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for all that runtimes write down."""
    for name, value in {
        "DOCKER_ROOTS": (str(tmp_path / "docker"),),
        "DOCKER_SETTINGS": str(tmp_path / "etc"),
        "STORAGE_ROOTS": (str(tmp_path / "storage"),),
        "STORAGE_RUN_ROOTS": (str(tmp_path / "run"),),
        "STORAGE_SETTINGS": str(tmp_path / "storage.conf"),
        "CONTAINERD_ROOTS": (str(tmp_path / "containerd"),),
        "POD_LOGS": str(tmp_path / "pods"),
        "CONTAINER_LOGS": str(tmp_path / "logs"),
    }.items():
        monkeypatch.setattr(runtimes, name, value)
    return tmp_path


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of root's, in which containers may lie."""
    mount = hierarchy_mounts().get(UNIFIED)
    if mount is None:
        pytest.skip("cgroup v2 is not mounted")
    folder = Path(mount, f"sockwatch-names-{os.getpid()}")
    folder.mkdir()
    yield folder
    for below, _, _ in os.walk(folder, topdown=False):
        os.rmdir(below)


def put(root: Path, file: str, document: Any) -> Path:
    """Write it down as JSON, or as it is if it is text already."""
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def look(cgroup: Path, below: str) -> Origin | None:
    """The origin of a process in that group below the cgroup."""
    return named(f"/{cgroup.name}/{below}")


def named(path: str) -> Origin | None:
    """The origin of this process, if it were in that cgroup."""
    text = f"0::{path}\n".encode()
    return of_cgroups({text: os.getpid()})[text]


WRITTEN: dict[str, tuple[str, Any, str, tuple[str | None, ...]]] = {
    "docker": (DOCKER_FILE, {"Name": "/web2"}, f"docker-{ID}.scope", ("docker web2",)),
    "podman": (
        STORAGE_FILE,
        [{"id": OTHER_ID, "names": ["db"]}, {"id": ID, "names": ["web2", "again"]}],
        f"libpod-{ID}.scope/container",
        ("podman web2",),
    ),
    "podman --transient-store": (
        "storage/vfs-containers/volatile-containers.json",
        [{"id": ID, "names": ["web2"]}],
        f"libpod-{ID}.scope",
        ("podman web2",),
    ),
    "nerdctl": (
        f"containerd/{runtimes.TASKS}/default/{ID}/config.json",
        {"annotations": {"nerdctl/name": "web2"}},
        f"nerdctl-{ID}.scope",
        ("containerd web2",),
    ),
    "containerd in a pod": (
        TASK_FILE,
        {"annotations": {
            f"{CRI}.container-type": "container", f"{CRI}.container-name": "cart",
            f"{CRI}.sandbox-name": "cart-0", f"{CRI}.sandbox-namespace": "shop",
        }},
        f"{IN_POD}cri-containerd-{ID}.scope",
        ("containerd cart", "pod shop/cart-0"),
    ),
    "containerd in a pod without a group": (
        TASK_FILE,
        {"annotations": {
            f"{CRI}.container-type": "container", f"{CRI}.container-name": "cart",
            f"{CRI}.sandbox-name": "cart-0", f"{CRI}.sandbox-namespace": "shop",
        }},
        f"cri-containerd-{ID}.scope",
        ("containerd cart", "pod shop/cart-0"),
    ),
    "the sandbox of a pod": (
        TASK_FILE,
        {"annotations": {
            f"{CRI}.container-type": "sandbox",
            f"{CRI}.sandbox-name": "cart-0", f"{CRI}.sandbox-namespace": "shop",
        }},
        f"{IN_POD}{ID}",
        ("pod shop/cart-0",),
    ),
    "CRI-O": (
        CRIO_FILE,
        {"annotations": {
            "io.kubernetes.container.name": "cart", "io.kubernetes.pod.name": "cart-0",
            "io.kubernetes.pod.namespace": "shop",
        }},
        f"{IN_POD}crio-{ID}.scope",
        ("cri-o cart", "pod shop/cart-0"),
    ),
    "the sandbox of CRI-O": (
        CRIO_FILE,
        {"annotations": {
            "io.kubernetes.cri-o.ContainerType": "sandbox",
            "io.kubernetes.container.name": "POD", "io.kubernetes.pod.name": "cart-0",
            "io.kubernetes.pod.namespace": "shop",
        }},
        f"{IN_POD}crio-{ID}",
        ("pod shop/cart-0",),
    ),
    "the links of the kubelet": (
        f"logs/cart-0_shop_cart-{ID}.log", "", f"{IN_POD}{ID}",
        ("container cart", "pod shop/cart-0"),
    ),
    "the folders of the kubelet": (
        f"pods/shop_cart-0_{POD_UID}/cart/0.log", "", f"{IN_POD}{ID}",
        ("container None", "pod shop/cart-0"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_what_is_written_down(
    root: Path, cgroup: Path, written: tuple[str, Any, str, tuple[str, ...]]
) -> None:
    file, document, below, found = written
    put(root, file, document)
    origin = look(cgroup, below)
    assert origin is not None
    assert tuple(f"{each.kind} {each.name}" for each in origin.chain) == found
    assert all(each.known_by in ("cgroup", *_parents(root / file)) for each in origin.chain)
    if origin.is_container:
        assert origin.id == ID


def _parents(file: Path) -> list[str]:
    return [str(file), *map(str, file.parents)]


@pytest.mark.parametrize("settings", ["etc/daemon.json", "storage.conf"])
def test_a_folder_that_the_configuration_names(root: Path, cgroup: Path, settings: str) -> None:
    elsewhere = root / "elsewhere"
    if settings == "storage.conf":
        put(root, settings, f'[storage]\ndriver = "overlay"\ngraphroot = "{elsewhere}"\n')
        put(elsewhere, "overlay-containers/containers.json", [{"id": ID, "names": ["web2"]}])
        origin = look(cgroup, f"libpod-{ID}.scope")
    else:
        put(root, settings, {"data-root": str(elsewhere)})
        put(elsewhere, f"containers/{ID}/config.v2.json", {"Name": "/web2"})
        origin = look(cgroup, f"docker-{ID}.scope")
    assert origin is not None
    assert origin.name == "web2"


@pytest.mark.parametrize("folder", ["elsewhere", ".", "\0", "/\0", "/proc/self/mem", 7, "\ud800"])
def test_a_folder_that_makes_no_sense(root: Path, cgroup: Path, folder: object) -> None:
    put(root, "etc/daemon.json", {"data-root": folder})
    written = json.dumps(folder).replace("\\ud800", "\\u0001")  # TOML has no surrogates
    put(root, "storage.conf", f"[storage]\ngraphroot = {written}\nrunroot = {written}\n")
    for below in (f"docker-{ID}.scope", f"libpod-{ID}", f"crio-{ID}"):
        origin = look(cgroup, below)
        assert origin is not None
        assert origin.name is None
    put(root, DOCKER_FILE, {"Name": "/web2"})
    origin = look(cgroup, f"docker-{ID}.scope")
    assert origin is not None
    assert origin.name == "web2"


def test_another_name(root: Path, cgroup: Path) -> None:
    for name in ("web1", "web2"):
        put(root, f"{DOCKER_FILE}.new", {"Name": f"/{name}"})
        os.replace(root / f"{DOCKER_FILE}.new", root / DOCKER_FILE)
        origin = look(cgroup, f"docker-{ID}.scope")
        assert origin is not None
        assert origin.name == name


def test_what_has_not_changed_is_not_read_again(root: Path) -> None:
    documents = Documents(())
    path = put(root, "a/b.json", [1])
    first = documents.read(str(root), "a", "b.json")
    assert documents.read(str(root), "a", "b.json") is first
    path.write_text("[1, 2]")
    assert documents.read(str(root), "a", "b.json") == [1, 2]
    path.unlink()
    assert documents.read(str(root), "a", "b.json") is None


def test_what_nobody_asks_for_is_not_kept(root: Path) -> None:
    document = [{"id": ID, "env": ["A" * 1000], "annotations": {"id": 1, "other": "B" * 1000}}, 2]
    put(root, "a.json", document)
    kept = Documents(("id", "annotations")).read(str(root), "a.json")
    assert kept == [{"id": ID, "annotations": {"id": 1}}, 2]


@pytest.mark.parametrize(
    "below",
    [
        f"user.slice/user-1000.slice/user@1000.service/docker-{ID}.scope",
        f"docker-{OTHER_ID}.scope/docker-{ID}.scope",
        f"lxc.payload.evil/docker-{ID}.scope",
        f"../docker-{ID}.scope",
    ],
)
def test_an_id_that_others_may_have_chosen(root: Path, below: str) -> None:
    put(root, DOCKER_FILE, {"Name": "/web2"})
    origin = named(f"/{below}")
    assert origin is not None
    assert (origin.id, origin.name) == (ID, None)


def test_a_group_that_is_not_roots(root: Path, cgroup: Path) -> None:
    put(root, DOCKER_FILE, {"Name": "/web2"})
    os.chown(cgroup, SOMEBODY, SOMEBODY)
    origin = look(cgroup, f"docker-{ID}.scope")
    assert origin is not None
    assert (origin.id, origin.name) == (ID, None)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _linked_folder(path: Path) -> None:
    folder = path.parent.rename(path.parent.with_name("real"))
    path.parent.symlink_to(folder)


SPOILED: dict[str, Callable[[Path], object]] = {
    "too long": lambda path: path.write_text('{"Name": "/web2"}' + " " * MOST_BYTES),
    "too deep": lambda path: path.write_text('{"Name": ' + "[" * 1_000_000),
    "no JSON": lambda path: path.write_text("{"),
    "no text": lambda path: path.write_bytes(b'{"Name": "\xff"}'),
    "a list": lambda path: path.write_text("[[]]"),
    "a number": lambda path: path.write_text('{"Name": 7}'),
    "many digits": lambda path: path.write_text('{"Name": ' + "9" * 10_000 + "}"),
    "nothing": lambda path: path.write_text(""),
    "a FIFO": _fifo,
    "a symlink": _link,
    "a symlink above it": _linked_folder,
    "somebody's": lambda path: os.chown(path, SOMEBODY, SOMEBODY),
    "a folder": _folder,
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_file_that_is_not_believed(
    root: Path, cgroup: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(put(root, DOCKER_FILE, {"Name": "/web2"}))
    assert look(cgroup, f"docker-{ID}.scope") == Origin("docker", ID, None, "cgroup")


@pytest.mark.parametrize("document", [
    {}, [7], [{}], [{"id": ID}], [{"id": ID, "names": []}], [{"id": ID, "names": [7]}],
    [{"id": ID, "names": {"0": 1}}], {"annotations": []}, {"annotations": {CRI: {}}}, 7,
])  # fmt: skip
def test_documents_of_another_form(root: Path, cgroup: Path, document: Any) -> None:
    for file in (DOCKER_FILE, STORAGE_FILE, TASK_FILE, CRIO_FILE, "etc/daemon.json"):
        put(root, file, document)
    put(root, "storage.conf", "storage = 7\n")
    for below in (f"docker-{ID}.scope", f"libpod-{ID}", f"cri-containerd-{ID}", f"crio-{ID}", ID):
        origin = look(cgroup, below)
        assert origin is not None
        assert origin.name is None


@pytest.mark.parametrize("name", ["\x1b]0;PWNED\x07", "[/x][red]", "a\nb", "\u202eevil", "x" * 999])
def test_names_of_others_are_printable(root: Path, cgroup: Path, name: str) -> None:
    put(root, DOCKER_FILE, {"Name": name})
    origin = look(cgroup, f"docker-{ID}.scope")
    assert origin is not None
    assert origin.name is not None
    assert origin.name.isprintable()
    assert len(origin.name) <= 64


def test_a_file_system_that_does_not_answer(root: Path, cgroup: Path) -> None:
    (root / "docker").mkdir()
    with silent_mount(root / "docker"):
        for _ in range(20):
            began = time.monotonic()
            assert look(cgroup, f"docker-{ID}.scope") == Origin("docker", ID, None, "cgroup")
        assert time.monotonic() - began < 0.1, "only the first may wait"
        assert in_time(lambda: 7) is None
    # Its end lets the thread go, and then the next look asks again.
    put(root, DOCKER_FILE, {"Name": "/web2"})
    end = time.monotonic() + 10
    while (origin := look(cgroup, f"docker-{ID}.scope")) and not origin.name:
        assert time.monotonic() < end
    assert origin is not None
    assert origin.name == "web2"
