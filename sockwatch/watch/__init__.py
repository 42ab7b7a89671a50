"""Watch for calls that fail and explain each at once: where `kernel` and `bind` meet."""

from sockwatch.watch.failures import FailureWatch, refusal

__all__ = ["FailureWatch", "refusal"]
