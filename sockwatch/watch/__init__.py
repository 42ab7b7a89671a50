"""Watching for failed calls and explaining each at once: where `kernel` and `bind` meet."""

from sockwatch.watch.failures import FailureWatch

__all__ = ["FailureWatch"]
