"""What is done to ports from the screens: at most one is freed, and one waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sockwatch.tui.watched import Watched

if TYPE_CHECKING:  # loaded when it is used first
    from sockwatch.act.model import Plan
    from sockwatch.act.proof import Replan
    from sockwatch.tui.act_thread import ActThread, Post
    from sockwatch.tui.free_thread import FreeThread, Perform
    from sockwatch.tui.wait_thread import WaitThread
    from sockwatch.view.acts import Goal

ENDS_IN_S: Final = 3.0  # a thread that hangs longer ends with the process


class ActThreads:
    """Starts threads and ends them; `perform` replaces the one of sockwatch.act in tests."""

    def __init__(self, post: Post, perform: Perform | None = None) -> None:
        self._post = post
        self._perform = perform
        self._threads: list[ActThread] = []
        self.wait: WaitThread | None = None

    def free(self, plan: Plan, replan: Replan, post: Post) -> FreeThread:
        """Carry out the plan; `post` gets what happens. Raises RuntimeError without a thread."""
        from sockwatch.tui.free_thread import FreeThread  # noqa: PLC0415

        thread = FreeThread(plan, replan, post, self._post, self._perform)
        self._start(thread)
        return thread

    def wait_for(self, goal: Goal, watched: Watched) -> None:
        """Tell the app when the goal is reached, in place of what was waited for before.

        Raises RuntimeError where no thread can be started.
        """
        from sockwatch.tui.wait_thread import WaitThread  # noqa: PLC0415

        self.stop_waiting()
        thread = WaitThread(goal, watched, self._post)
        self._start(thread)
        self.wait = thread

    def stop_waiting(self) -> None:
        """Wait for nothing."""
        if self.wait is not None:
            self.wait.stop()
            self.wait = None

    def _start(self, thread: ActThread) -> None:
        over = [each for each in self._threads if each.ended]
        self._threads = [each for each in self._threads if each not in over]
        for each in over:
            each.close()
        try:
            thread.start()
        except RuntimeError:  # RLIMIT_NPROC, or pids.max of the cgroup
            thread.close()
            raise
        self._threads.append(thread)

    def stop(self) -> None:
        """Take no further step anywhere. Does not wait."""
        for thread in self._threads:
            thread.stop()

    def join(self) -> None:
        """Wait until the acts have ended; not in the event loop."""
        self.stop()
        for thread in self._threads:
            thread.join(ENDS_IN_S)
