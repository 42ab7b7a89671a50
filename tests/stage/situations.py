"""A situation for each cause, made of real processes."""

from __future__ import annotations

from typing import Final

from sockwatch.bind.cause_ids import CauseId
from tests.stage.addresses import ADDRESSES
from tests.stage.holders import HOLDERS
from tests.stage.refusals import REFUSALS
from tests.stage.remains import REMAINS

SITUATIONS: Final = (*HOLDERS, *REMAINS, *ADDRESSES, *REFUSALS)
CANNOT_BE_MADE: Final = {
    CauseId.NO_FD_ANYWHERE: "in a pid namespace, a holder outside of it cannot be ruled out",
    CauseId.KERNEL_SOCKET: "the same: the kernel is not the only one that could have it",
    CauseId.UNACCEPTED: "never the first cause: a listener has the queue",
    CauseId.ADDRESS_IN_VRF: "few kernels have VRFs",
    CauseId.NO_IPV6: "the kernel would have to be booted without",
    CauseId.NO_MEMORY: "the kernel would have to run out of it",
}
