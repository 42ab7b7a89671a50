"""What a release needs: the packages that it stands on, its files, and that they run.

Run as root: .venv/bin/pip install -q '.[release]' && .venv/bin/python -m tests.release [STEP ...]

  packages  version and licence of each package that sockwatch needs, and known vulnerabilities
  build     wheel, source distribution, .pyz, self-contained tar file and .deb, into dist/
  check     lintian, and each file run where it claims to run: roots of several Debian releases
  start-up  how long each takes to start, beside a venv

Without STEP all of them. Exits with 0 if all is well, 1 if not, 3 if that could not be determined.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.release import packages
from tests.release.carried import RELEASE, build_carried
from tests.release.deb import build_deb
from tests.release.packages import CLEAN, UNKNOWN, VULNERABLE
from tests.release.pyz import build_pyz
from tests.release.roots import NoRootError, debian
from tests.release.smoke import SmokeError, smoke
from tests.release.sources import ROOT, build_wheel_and_sdist, install_tree
from tests.release.start_up import MOST, start_up

DIST: Final = ROOT / "dist"
FAILED: Final = VULNERABLE


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("steps", metavar="STEP", nargs="*", choices=[*STEPS, []], help="see above")
    steps = parser.parse_args().steps or list(STEPS)
    codes = [STEPS[step]() for step in STEPS if step in steps]
    return next(code for code in (FAILED, UNKNOWN, CLEAN) if code in codes)


def build() -> int:
    """Build everything into an empty folder."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    wheel, sdist = build_wheel_and_sdist(DIST)
    with tempfile.TemporaryDirectory() as base:
        tree = Path(base, "tree")
        install_tree(wheel, tree)
        built = [wheel, sdist, build_pyz(tree, DIST), build_deb(wheel, tree, DIST)]
        try:
            built.append(build_carried(tree, debian(RELEASE), DIST))
        except NoRootError as error:
            print(f"not built: {error}")
            return UNKNOWN
    for file in built:
        print(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1e6:.1f} MB")
    return CLEAN


def check() -> int:
    """Run what has been built."""
    (package,) = DIST.glob("*.deb")
    try:
        command = ["lintian", "--profile", "debian", "--fail-on", "error,warning", str(package)]
        if subprocess.run(command, check=False).returncode:
            print("FAILED: lintian")
            return FAILED
        print("deb: lintian finds no error and no warning")
        for line in smoke(DIST):
            print(line, flush=True)
    except FileNotFoundError as error:
        print(f"not checked: {error.filename} is not installed")
        return UNKNOWN
    except NoRootError as error:
        print(f"not checked: {error}")
        return UNKNOWN
    except SmokeError as error:
        print(f"FAILED: {error}")
        return FAILED
    return CLEAN


def measure() -> int:
    """Print the table of README."""
    (wheel,) = DIST.glob("*.whl")
    is_met, lines = start_up(DIST, wheel)
    print(*lines, f"at most {MOST:g} x: {'met' if is_met else 'NOT met'}", sep="\n")
    return CLEAN if is_met else FAILED


STEPS: Final[dict[str, Callable[[], int]]] = {
    "packages": packages.main,
    "build": build,
    "check": check,
    "start-up": measure,
}

if __name__ == "__main__":
    sys.exit(main())
