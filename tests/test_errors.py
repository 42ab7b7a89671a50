"""Errors that cross from one process to another arrive as they were."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import sockwatch
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.model import KernelError, SockwatchError

ERRORS = (
    SockwatchError("port 8080 is taken"),
    KernelError("sock_diag: refused", 95),
    BpfUnavailable("verifier", "refused", remedy="report it", errno=13, log="R1 !read_ok"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_keeps_all_of_it(error: SockwatchError, protocol: int) -> None:
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def subclasses(error: type[SockwatchError]) -> Iterator[type[SockwatchError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_every_error_of_the_package_can_be_pickled() -> None:
    for module in pkgutil.walk_packages(sockwatch.__path__, "sockwatch."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for kind in subclasses(SockwatchError):
        error = kind.__new__(kind, "what went wrong")
        error.detail = 7  # type: ignore[attr-defined] # stands for any attribute
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (kind, "what went wrong", {"detail": 7})
