"""Exit codes are API."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every command."""

    YES = 0
    """Yes, or all is fine."""
    NO = 1
    """No: nothing matches, or there is a conflict."""
    USAGE = 2
    """The command line is wrong, or cannot be run here."""
    UNKNOWN = 3
    """It could not be determined, or the answer could not be written."""
    INTERRUPTED = 130
    """Stopped by SIGINT."""
