"""What to do about a restart: carry it out, or make future ones work."""

from __future__ import annotations

from sockwatch.bind import fixes
from sockwatch.bind.model import Fix
from sockwatch.bind.restart import RestartVerdict


def restart_fixes(restart: RestartVerdict) -> tuple[Fix, ...]:
    """Restart the service, if that works; set SO_REUSEADDR, if its lack is what fails."""
    if restart.verdict.outcome == "ok":
        return fixes.restart(restart.ends)
    is_leftover = restart.frees_in_s is not None
    if is_leftover and not restart.verdict.request.reuseaddr:
        return (fixes.set_flags("SO_REUSEADDR", step="later"),)
    return ()
