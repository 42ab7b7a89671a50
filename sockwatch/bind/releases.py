"""What the name of a kernel tells of the fixes that it carries.

Debian 12 and Ubuntu write their own count in place of the patch level: 6.1.0-56-amd64 is 6.1.192.
Where the package says the patch level elsewhere, that one counts. Enterprise kernels keep a number
for years and carry back what they like, whole subsystems too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sockwatch.bind.kernels import SPANS, Quirk, Release, parse_release, quirks_of
from sockwatch.bind.model import Blocker, Condition, Verdict
from sockwatch.model import Gap, GapCode, Snapshot

# RHEL and its kin, Oracle's UEK, openEuler, Anolis, TencentOS, Kylin; SUSE (150600 is 15 SP6).
CARRIES_BACK: Final = re.compile(r"\.(el|oe|an|al|tl|ky)\d|-1[56]0\d00\.")
OWN_COUNT: Final = re.compile(r"\d+\.\d+\.0[-+]")  # 6.8.0-45-generic: 45 is no patch level
BOUNDARIES: Final = sorted({bound for span in SPANS for bound in (span.since, span.before)})


def possible_quirks(snapshot: Snapshot) -> tuple[frozenset[Quirk], ...]:
    """The quirks that the kernel has, the newest kernel first; several where its name hides them.

    Each is those of an upstream release that it may be like.
    """
    releases = _possible_releases(snapshot.kernel, snapshot.patch_level)
    return tuple(dict.fromkeys(quirks_of(release) for release in reversed(releases)))


def _possible_releases(kernel: str, patch_level: str | None) -> Sequence[Release | None]:
    release = parse_release(kernel)
    if release is None:
        return [None]
    if CARRIES_BACK.search(kernel):
        return [release, *(bound for bound in BOUNDARIES if bound > release)]
    if not OWN_COUNT.match(kernel):
        return [release]
    told = parse_release(patch_level or "")
    if told is not None and told[:2] == release[:2]:
        return [told]
    return [release, *(b for b in BOUNDARIES if b[:2] == release[:2] and b > release)]


def agreed(verdicts: Sequence[Verdict]) -> Verdict:
    """Make one verdict of those by each kernel that it may be, of which the newest comes first."""
    newest = verdicts[0]
    gaps = tuple(dict.fromkeys(gap for verdict in verdicts for gap in verdict.gaps))
    other = next((verdict for verdict in verdicts if verdict.bind != newest.bind), None)
    if other is None:
        return replace(newest, gaps=gaps)
    blockers = _blockers(verdicts)
    question = f"Has Linux {newest.kernel} all of the fixes to the bind test that newer ones have?"
    conditions = [condition for verdict in verdicts for condition in verdict.conditions]
    if blockers:
        owner = blockers[0].owner
        conditions.append(Condition(owner, "kernel patches", newest.bind, other.bind, question))
    gap = Gap(
        GapCode.KERNEL_PATCHES,
        f"the release {newest.kernel} does not tell which fixes to the bind test this kernel has,"
        " and they decide here",
        "try a real bind()",
    )
    return replace(
        newest,
        bind="depends",
        listen=None if newest.listen is None else "depends",
        reason=None,
        blockers=blockers,
        conditions=tuple(dict.fromkeys(conditions)),
        gaps=(*gaps, gap),
    )


def _blockers(verdicts: Sequence[Verdict]) -> tuple[Blocker, ...]:
    """Every blocker; certain is only what blocks surely in each of the verdicts."""
    by_owner: dict[int, list[Blocker]] = {}
    for verdict in verdicts:
        for blocker in verdict.blockers:
            by_owner.setdefault(id(blocker.owner), []).append(blocker)
    return tuple(
        replace(
            found[0],
            certain=len(found) == len(verdicts) and all(blocker.certain for blocker in found),
        )
        for found in by_owner.values()
    )
