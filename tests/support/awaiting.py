"""A wait for ports that runs beside the test, in its network namespace."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from sockwatch.act.waiting import Standing, take_now, wait_until_free
from sockwatch.bind import BindRequest
from sockwatch.bind.pair import RequestPair
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.kernel.wakeups import Wakeups
from sockwatch.model import Snapshot
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from typing_extensions import Self


class Awaiting:
    """Waits in a thread as long as the block lasts; `told` are the standings it went on waiting by.

    `timeout_s` is that of the wait, which also ends it where nothing wakes it.
    """

    def __init__(
        self, *wanted: BindRequest | RequestPair, timeout_s: float | None = PATIENCE_S
    ) -> None:
        self._pairs = [RequestPair(one) if isinstance(one, BindRequest) else one for one in wanted]
        self._timeout_s = timeout_s
        self._failure: BaseException | None = None
        self._result: Standing | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.told: list[Standing] = []
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def until_told(self, number: int = 1) -> Standing:
        """The standing by which it has gone on waiting for that many times; it sleeps now."""
        wait_until(lambda: len(self.told) >= number or not self._thread.is_alive(), pause_s=0.001)
        assert len(self.told) >= number, self.result()
        return self.told[-1]

    def result(self) -> Standing:
        """What the wait has returned; waits for it."""
        self._thread.join(2 * PATIENCE_S)
        if self._failure is not None:
            raise self._failure
        assert self._result is not None
        return self._result

    def _run(self) -> None:
        try:
            ports = {pair.request.port for pair in self._pairs}
            with SnapshotReader() as reader, Wakeups(ports) as wakeups:
                take = partial(take_now, reader)

                def look(port: int, is_free: object) -> Snapshot:
                    self.looks += 1
                    return take(port, is_free)  # type: ignore[arg-type]

                self._result = wait_until_free(
                    self._pairs, look, wakeups, self._timeout_s, self.told.append
                )
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            self._failure = error
