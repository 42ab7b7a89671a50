"""A part of pyroute2 is imported without the rest, which still comes when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

PART = "import sys; import sockwatch.kernel.sock_diag.dumps\n"


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_tables_need_a_part_of_pyroute2() -> None:
    assert run(PART + "print('pyroute2.ndb' in sys.modules)") == "False"


@pytest.mark.parametrize(
    "code",
    [
        "from pyroute2 import IPRoute; print(IPRoute.__name__)",
        "import pyroute2; print(pyroute2.IPRoute.__name__)",
        "import pyroute2; pyroute2.__version__; print(pyroute2.IPRoute.__name__)",
        "from pyroute2 import iproute; print(iproute.IPRoute.__name__)",
        "import pyroute2.iproute; print(pyroute2.iproute.IPRoute.__name__)",
    ],
)
def test_the_rest_comes_when_it_is_asked_for(code: str) -> None:
    assert run(PART + code) == "IPRoute"


def test_a_name_that_is_not_there_is_missing_as_ever() -> None:
    assert run(PART + "import pyroute2; print(hasattr(pyroute2, 'nothing'))") == "False"


def test_a_package_that_is_imported_already_is_left_as_it_is() -> None:
    code = "import sys, pyroute2; whole = sys.modules['pyroute2']\n" + PART
    assert run(code + "print(sys.modules['pyroute2'] is whole)") == "True"


def test_a_package_that_is_not_installed_stays_missing() -> None:
    code = (
        "from sockwatch.kernel.sock_diag.lazy_package import run_lazily\n"
        "run_lazily('no_such_package')\n"
        "import sys; print('no_such_package' in sys.modules)"
    )
    assert run(code) == "False"
