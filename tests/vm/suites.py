"""Debian's suites, each read by apt in a configuration of its own: the host's is not touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Final

from tests.vm import places
from tests.vm.places import Unavailable

# Oldest kernels first; a kernel is taken from the first suite that has it.
SUITES: Final = (
    "bullseye",
    "bullseye-security",
    "bookworm",
    "bookworm-security",
    "trixie",
    "trixie-security",
    "trixie-backports",
    "sid",
)
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHITECTURE: Final = "amd64"
FRESH_S: Final = 86_400.0
NETWORK_TIMEOUT_S: Final = 20
MOST_MINUTES: Final = 5.0
_CONFIGURATION: Final = """\
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";  // a suite may have moved to the archive
Acquire::Retries "2";
Acquire::http::Timeout "{timeout}";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "{folder}/none.d";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""


class Suite:
    """One suite; nothing is downloaded before the first question."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = places.cache("apt", name)

    def packages(self, pattern: str) -> list[dict[str, str]]:
        """The fields of the packages whose names match. Raises Unavailable."""
        self._update()
        names = self._run("apt-cache", "search", "--names-only", pattern).split("\n")
        names = [line.split(" - ")[0] for line in names if line]
        if not names:
            return []
        shown = self._run("apt-cache", "show", *names)
        return [_fields(paragraph) for paragraph in shown.split("\n\n") if paragraph.strip()]

    def download(self, package: str, version: str) -> Path:
        """The file of a package, which is kept. Raises Unavailable."""
        folder = places.cache("packages")
        architecture = ARCHITECTURE
        file = folder / f"{package}_{version.replace(':', '%3a')}_{architecture}.deb"
        if not file.exists():
            self._run("apt-get", "download", "-q", f"{package}={version}", cwd=folder)
        if not file.exists():
            raise Unavailable(f"apt-get download {package}={version} left no {file.name}")
        return file

    def _update(self) -> None:
        stamp = self._folder / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < FRESH_S:
            return
        self._configure()
        self._run("apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")
        stamp.touch()

    def _configure(self) -> None:
        for part in ("state/lists/partial", "cache/archives/partial", "none.d"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        options = f"arch={ARCHITECTURE}"
        if KEYRING.exists():
            options += f" signed-by={KEYRING}"
        source = f"deb [{options}] {_archive(self.name)} {self.name} main\n"
        (self._folder / "sources.list").write_text(source)
        (self._folder / "apt.conf").write_text(
            _CONFIGURATION.format(
                architecture=ARCHITECTURE, folder=self._folder, timeout=NETWORK_TIMEOUT_S
            )
        )

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, cwd=cwd, env=environment, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=MOST_MINUTES * 60,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{self.name}: {' '.join(command[:2])} took too long") from None
        if done.returncode:
            raise Unavailable(f"{self.name}: {_reason(done.stderr)}")
        return done.stdout


@cache
def _archive(suite: str) -> str:
    """The address of the archive, as the host's own sources have it. Raises Unavailable."""
    if shutil.which("apt-get") is None:
        raise Unavailable("kernels come as Debian packages, and there is no apt-get here")
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    ).stdout  # fmt: skip
    for line in listed.splitlines():
        release, _, address = line.partition(" ")
        is_debian = release.partition("-")[0] in {known.partition("-")[0] for known in SUITES}
        if is_debian and release.endswith("-security") == suite.endswith("-security"):
            return address
    raise Unavailable(f"{suite}: apt's sources here name no archive of Debian that has it")


def _fields(paragraph: str) -> dict[str, str]:
    """Those on one line each; the others are of no use here."""
    pairs = (line.split(": ", 1) for line in paragraph.splitlines() if not line.startswith(" "))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _reason(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith(("E:", "W:"))]
    return lines[0].partition(":")[2].strip() if lines else "apt failed without a word"
