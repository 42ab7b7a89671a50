"""What a release has to know of the packages it needs: version, licence, vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE: Final = "sockwatch"
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 3
UNREACHED: Final = "vulnerabilities: unknown; the advisory service could not be reached"
LICENCE_CLASSIFIER: Final = "License :: OSI Approved :: "
LONGEST_LICENCE: Final = 40  # some put the whole text there


def main() -> int:
    """Print it; 0 if none has a known vulnerability, 1 if one has, 3 if nobody could tell."""
    packages = sorted(runtime_packages(PACKAGE).values(), key=lambda package: package.name.lower())
    for package in packages:
        print(f"{package.name:20} {package.version:12} {licence(package)}")
    code, lines = audit([f"{package.name}=={package.version}" for package in packages])
    print(*lines, sep="\n")
    return code


def runtime_packages(name: str) -> dict[str, Distribution]:
    """What is installed for the package without its extras, by name, itself left out."""
    packages: dict[str, Distribution] = {}
    waiting = list(_required(distribution(name), set()))
    asked: set[Requirement] = set()
    while waiting:
        needed = waiting.pop()
        if needed not in asked:  # a package may be required again with an extra
            asked.add(needed)
            package = packages[canonicalize_name(needed.name)] = distribution(needed.name)
            waiting.extend(_required(package, needed.extras))
    return packages


def _required(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in package.requires or ():
        needed = Requirement(text)
        marker = needed.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield needed


def licence(package: Distribution) -> str:
    """As its metadata states it, in whichever of three fields; ``?`` if in none."""
    fields = package.metadata
    for field in ("License-Expression", "License"):
        if field in fields and 0 < len(fields[field]) <= LONGEST_LICENCE:
            return fields[field]
    classifiers = fields.get_all("Classifier") or []
    named = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith(LICENCE_CLASSIFIER)]
    return ", ".join(named) or "?"


def audit(pins: list[str]) -> tuple[int, list[str]]:
    """(exit code, lines to print) of pip-audit, which asks pypi.org by name and version."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        command = ["-m", "pip_audit", "-r", file.name, "--no-deps", "--disable-pip", "-f", "json"]
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, check=False
        )
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if "No module named pip_audit" in reason:
            return UNKNOWN, [
                "vulnerabilities: unknown; install pip-audit: pip install '.[release]'"
            ]
        return UNKNOWN, [f"{UNREACHED}: {reason}"]
    return verdict(audited)


def verdict(audited: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """(exit code, lines to print) of what pip-audit found of each package."""
    known, skipped = [], []
    for package in audited:
        if "skip_reason" in package:
            skipped.append(f"{package['name']}: not audited: {package['skip_reason']}")
        for found in package.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            known.append(f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    if known:
        return VULNERABLE, [*known, *skipped]
    if len(skipped) == len(audited):
        return UNKNOWN, [f"{UNREACHED}: it knows none of these packages"]
    if skipped:
        return UNKNOWN, skipped
    return CLEAN, [f"vulnerabilities: none known in {len(audited)} packages"]
