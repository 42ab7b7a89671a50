"""Recorded paths of cgroups: one of each runtime and driver."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sockwatch.kernel.origin import of_cgroup
from sockwatch.kernel.origin.paths import MOST_NESTED
from sockwatch.model import Origin

ID = "a1" * 32
OTHER_ID = "b2" * 32
ECS_ID = "0123456789abcdef0123456789abcdef-1234567"
UID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
IN_SLICE = UID.replace("-", "_")
STATIC_UID = "0123456789abcdef0123456789abcdef"
USER = "/user.slice/user-1000.slice/user@1000.service"
PODS = "/kubepods.slice/kubepods-burstable.slice"
POD = ("pod", UID, None)
DOCKER = ("docker", ID, None)
PODMAN = ("podman", ID, None)
SNAP = "snap.firefox.firefox-1a9b0c1d-0000-1111-2222-333344445555.scope"

# (kind, id, name), innermost first
FOUND: dict[str, tuple[tuple[str, str, str | None], ...]] = {
    f"/system.slice/docker-{ID}.scope": (DOCKER,),
    f"/docker/{ID}": (DOCKER,),
    f"/machine.slice/libpod-{ID}.scope": (PODMAN,),
    f"/machine.slice/libpod-{ID}.scope/container": (PODMAN,),
    f"/libpod_parent/libpod-{ID}": (PODMAN,),
    f"/system.slice/web.service/libpod-payload-{ID}": (PODMAN, ("unit", "", "web.service")),
    f"/machine.slice/machine-libpod_pod_{OTHER_ID}.slice/libpod-{ID}.scope": (
        PODMAN, ("pod", OTHER_ID, None),
    ),
    f"{PODS}/kubepods-burstable-pod{IN_SLICE}.slice/cri-containerd-{ID}.scope": (
        ("containerd", ID, None), POD,
    ),
    f"/kubepods.slice/kubepods-pod{IN_SLICE}.slice/crio-{ID}.scope": (("cri-o", ID, None), POD),
    f"/kubepods.slice/kubepods-pod{STATIC_UID}.slice/crio-{ID}.scope": (
        ("cri-o", ID, None), ("pod", STATIC_UID, None),
    ),
    f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{IN_SLICE}.slice/"
    f"cri-containerd-{ID}.scope": (("containerd", ID, None), POD),
    f"/kubepods/burstable/pod{UID}/{ID}": (("container", ID, None), POD),
    f"/kubepods/besteffort/pod{UID}/crio-{ID}": (("cri-o", ID, None), POD),
    f"/system.slice/containerd.service/kubepods-pod{IN_SLICE}.slice:cri-containerd:{ID}": (
        ("containerd", ID, None), POD, ("unit", "", "containerd.service"),
    ),
    f"/system.slice/nerdctl-{ID}.scope": (("containerd", ID, None),),
    f"/default/{ID}": (("containerd", ID, None),),
    f"/k8s.io/{ID}": (("containerd", ID, None),),
    f"/ecs/{STATIC_UID}/{ECS_ID}": (("container", ECS_ID, None),),
    f"/garden_{ID}": (("container", ID, None),),
    "/lxc.payload.web": (("lxc", "", "web"),),
    "/lxc.payload.dev_web/system.slice/nginx.service": (
        ("unit", "", "nginx.service"), ("lxc", "", "dev_web"),
    ),
    "/lxc.payload/web": (("lxc", "", "web"),),
    "/lxc/101/ns": (("lxc", "", "101"),),
    r"/machine.slice/machine-web\x2d1.scope": (("nspawn", "", "web-1"),),
    r"/machine.slice/machine-web\x2d1.scope/payload/init.scope": (
        ("unit", "", "init.scope"), ("nspawn", "", "web-1"),
    ),
    "/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service": (
        ("unit", "", "nginx.service"), ("nspawn", "", "web"),
        ("unit", "", "systemd-nspawn@web.service"),
    ),
    r"/machine.slice/machine-qemu\x2d1\x2ddb\x2d2.scope/libvirt/emulator": (
        ("machine", "", "db-2"),
    ),
    r"/machine.slice/machine-lxc\x2d4012\x2dweb.scope/system.slice": (("lxc", "", "web"),),
    "/system.slice/nginx.service": (("unit", "", "nginx.service"),),
    "/system.slice/system-getty.slice/getty@tty1.service": (("unit", "", "getty@tty1.service"),),
    r"/system.slice/dev-disk-by\x2duuid.swap": (("unit", "", r"dev-disk-by\x2duuid.swap"),),
    "/system.slice/web.service/workers/other.service": (("unit", "", "web.service"),),
    "/init.scope": (("unit", "", "init.scope"),),
    "/system.slice/snap.lxd.daemon.service": (
        ("snap", "snap.lxd.daemon.service", "lxd.daemon"),
    ),
    "/user.slice/user-1000.slice/session-c2.scope": (("session", "session-c2.scope", "c2"),),
    f"/docker/{ID}/docker/{OTHER_ID}": (("docker", OTHER_ID, None), DOCKER),
    f"/docker/{ID}/kubelet.slice/kubelet-kubepods-pod{IN_SLICE}.slice/cri-containerd-{OTHER_ID}"
    ".scope": (("containerd", OTHER_ID, None), POD, DOCKER),
    f"/../../system.slice/docker-{ID}.scope": (DOCKER,),
    "/../../nginx.service": (("unit", "", "nginx.service"),),
    "/../..": (),
    "/somewhere/payload/system.slice/nginx.service": (),
    "/machine.slice/systemd-nspawn@web.service/supervisor": (
        ("unit", "", "systemd-nspawn@web.service"),
    ),
    f"/machine.slice/libpod-conmon-{ID}.scope": (),
    f"/kubepods.slice/kubepods-pod{IN_SLICE}.slice/crio-conmon-{ID}.scope": (POD,),
    "/lxc.monitor.web": (),
    "/lxc.monitor/web": (),
    "/user.slice": (),
    "/": (),
}  # fmt: skip

OF_USER = {
    f"{USER}/user.slice/libpod-{ID}.scope/container": PODMAN,
    f"{USER}/app.slice/docker-{ID}.scope": DOCKER,
    f"{USER}/app.slice/{SNAP}": ("snap", SNAP, "firefox"),
    f"{USER}/app.slice/app-flatpak-org.gimp.GIMP-42.scope": (
        "flatpak", "app-flatpak-org.gimp.GIMP-42.scope", "org.gimp.GIMP",
    ),
    f"{USER}/app.slice/web.service": ("unit", "", "web.service"),
    f"{USER}/init.scope": ("unit", "", "init.scope"),
    # Names that the user may give to what he likes, and that mean something elsewhere.
    f"{USER}/app.slice/system.slice/sshd.service": ("unit", "", "sshd.service"),
    f"{USER}/user.slice/user-0.slice/user@0.service/web.service": ("unit", "", "user@0.service"),
    f"/../user@1000.service/docker-{ID}.scope": DOCKER,
    f"{USER}/machine.slice/machine-db.scope": ("nspawn", "", "db"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "found"), FOUND.items())
def test_what_the_system_runs(path: str, found: tuple[tuple[str, str, str | None], ...]) -> None:
    chain = _chain(of_cgroup(f"0::{path}\n".encode()))
    assert tuple((each.kind, each.id, each.name) for each in chain) == found
    assert {(each.manager_uid, each.known_by) for each in chain} <= {(None, "cgroup")}


@pytest.mark.parametrize(("path", "found"), OF_USER.items())
def test_what_a_user_runs(path: str, found: tuple[str, str, str | None]) -> None:
    origin = of_cgroup(f"0::{path}\n".encode())
    assert origin is not None
    assert (origin.kind, origin.id, origin.name) == found
    assert origin.manager_uid == 1000
    assert origin.outer is None


def test_a_group_that_is_only_the_managers_own() -> None:
    monitor = of_cgroup(f"0::{USER}/user.slice/libpod-conmon-{ID}.scope\n".encode())
    assert monitor == Origin("unit", "", "user@1000.service", "cgroup")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # Docker with version 1 of cgroups, on a host with systemd and on one without.
        (f"9:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/d.service\n", ID),
        (f"9:memory:/docker/{ID}\n1:cpuset:/docker/{ID}\n0::/\n", ID),
        ("9:pids:/system.slice/a.service\n1:name=systemd:/system.slice/a.service\n", "a.service"),
        ("9:pids:/system.slice/a.service\n0::/\n", None),  # a name that only systemd may give
        ("1:name=systemd:/\n0::/init.scope\n", "init.scope"),
        ("", None),
        ("0:\n::\n0", None),
    ],
)
def test_hierarchies(text: str, found: str | None) -> None:
    origin = of_cgroup(text.encode())
    assert (origin and (origin.id or origin.name)) == found


@pytest.mark.parametrize("end", ["\r", "\f", "\x1c", "\x85", "\u2028"])
def test_a_name_with_another_end_of_a_line_adds_no_line(end: str) -> None:
    text = f"0::{USER}/app.slice/a{end}0::/system.slice/docker-{ID}.scope\n"
    origin = of_cgroup(text.encode())
    assert origin is not None
    assert {each.manager_uid for each in origin.chain} == {1000}


def test_names_of_others_are_printable() -> None:
    origin = of_cgroup(b"0::/system.slice/\xff[x]\x1b.service\n")
    assert origin is not None
    assert origin.name == "?[x]?.service"
    machine = of_cgroup(rb"0::/machine.slice/machine-\x1b\x5b2J\xc3\xa9.scope")
    assert machine is not None
    assert machine.name == "?[2Jé"


PARTS = st.sampled_from((
    "..", "", "system.slice", "user.slice", "user-0.slice", "user@0.service", "a.service", "lxc",
    "docker", f"docker-{ID}.scope", ID, f"pod{UID}", "payload", "lxc.payload.\x1b", "kubepods",
    r"machine-\x00\x9b.scope", "session-\n.scope", "snap.a.b.service", "\udcff",
))  # fmt: skip
PATHS = st.one_of(st.text(max_size=60), st.lists(PARTS, max_size=30).map("/".join))


@given(st.one_of(st.binary(max_size=300), st.lists(PATHS, max_size=4).map(
    lambda paths: "".join(f"0::/{path}\n" for path in paths).encode("utf-8", "surrogatepass")
)))  # fmt: skip
@example(b"0::/user@99999999999.service/a.service\n")
@example(b"0::/" + b"docker/" * 2000 + ID.encode())
def test_any_text(text: bytes) -> None:
    chain = _chain(of_cgroup(text))
    assert len(chain) <= 2 * MOST_NESTED + 2
    for origin in chain:
        assert (origin.id + (origin.name or "")).isprintable()
        assert origin.id or origin.name
        assert origin.label.isprintable()


def _chain(origin: Origin | None) -> list[Origin]:
    return [] if origin is None else [*origin.chain]
