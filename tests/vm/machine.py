"""A virtual machine of qemu: boots a kernel, shows its console, and brings back its answer."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.sample import SEED
from tests.vm import places
from tests.vm.kernels import MODULES, Kernel, unpack
from tests.vm.places import ROOT
from tests.vm.root import check_tools, initrd

MEMORY_MIB: Final = 2500
PROBE_S: Final = 15.0
CONSOLE_LINES: Final = 40
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Booted(NamedTuple):
    """What a machine answered, see guest.py, and how fast it was: "kvm" or "tcg"."""

    answer: dict[str, Any]
    accelerator: str


class MachineFailed(Exception):  # noqa: N818 - it is the machine that failed
    """It ended, or was ended, without an answer; the message has the end of its console."""


def run(
    kernel: Kernel,
    arguments: Sequence[str],
    *,
    minutes: float,
    cpus: int = 2,
    show: Callable[[str], None] | None = None,
) -> Booted:
    """Boot the kernel, and run pytest with these arguments; `show` gets the lines of its console.

    Raises Unavailable, MachineFailed.
    """
    check_tools()
    with places.locked():
        files = unpack(kernel)
        accelerator = _accelerator(files.image)
    with tempfile.TemporaryDirectory(prefix="sockwatch-vm-") as name:
        folder = Path(name)
        request = {"seed": SEED, "arguments": list(arguments)}
        where = {"ROOT": str(ROOT), "PYTHON": sys.executable, "MODULES": " ".join(MODULES)}
        texts = {
            "request.json": json.dumps(request),
            "request.sh": "".join(f"{n}={shlex.quote(v)}\n" for n, v in where.items()),
        }
        with places.locked():
            initrd(files, texts, folder / "initrd")
        answer = folder / "answer"
        console = ["ip=off", "console=ttyS0", "panic=-1", "quiet", "rdinit=/init"]
        command = [
            *_qemu(accelerator, cpus),
            *("-kernel", files.image, "-initrd", folder / "initrd"),
            *("-append", " ".join(console), "-serial", "stdio", "-serial", f"file:{answer}"),
        ]
        lines = []
        with _running(command, minutes * 60) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if show is not None:
                    show(lines[-1])
        text = answer.read_text(errors="replace") if answer.exists() else ""
    if not text.endswith("\n"):
        end = "\n".join(lines[-CONSOLE_LINES:])
        raise MachineFailed(
            f"Linux {kernel.release} gave no answer within {minutes:g} minutes:\n{end}"
        )
    return Booted(json.loads(text), accelerator)


def _qemu(accelerator: str, cpus: int) -> list[str]:
    """One that ends with us, and lets others go first."""
    how = {"tcg": ("tcg,thread=multi", "max"), "kvm": ("kvm", "host")}
    accel, cpu = how[accelerator]
    return [
        *("setpriv", "--pdeathsig", "KILL", "nice", "-n", "10", "qemu-system-x86_64"),
        *("-accel", accel, "-cpu", cpu, "-smp", str(cpus), "-m", str(MEMORY_MIB)),
        *("-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none"),
    ]


def _accelerator(image: Path) -> str:
    """KVM, if a kernel boots in it up to the point where it finds no root file system."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    kept = places.cache() / f"accelerator-{BOOT_ID.read_text().strip()}"
    if not kept.exists():
        with contextlib.suppress(FileNotFoundError):
            for old in kept.parent.glob("accelerator-*"):
                old.unlink()
        kept.write_text("kvm" if _panics_in_kvm(image) else "tcg")
    return kept.read_text()


def _panics_in_kvm(image: Path) -> bool:
    append = "console=ttyS0 panic=-1"
    command = [*_qemu("kvm", 1), "-kernel", image, "-append", append, "-serial", "stdio"]
    with _running(command, PROBE_S) as process:
        assert process.stdout is not None
        return "Kernel panic" in process.stdout.read()


@contextlib.contextmanager
def _running(command: Sequence[object], timeout_s: float) -> Iterator[subprocess.Popen[str]]:
    """The machine, which is ended after that time and on the way out."""
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        timer = threading.Timer(timeout_s, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()
