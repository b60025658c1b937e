"""Run an item's nested tasks, several at a time, in as many threads as the machine has room for."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence

from pyanamo.model import Result, Task
from pyanamo.pilot.shortage import Shortage, shortage_of, tell

Results = dict[str, Result]
Run = Callable[[Task], Result | None]  # None: the task was interrupted
Ended = Callable[[str, Result], object]  # is told of each task's name and result


class NestedTasks:
    """Runs tasks in threads, and collects their results."""

    def __init__(self, tasks: Sequence[Task], run: Run, may_start: Callable[[], bool]) -> None:
        """`run` runs one task; it is asked before each task whether one `may_start`."""
        self._todo = deque(tasks)
        self._run = run
        self._may_start = may_start
        self.shortage: Shortage | None = None
        self._lock = threading.Lock()  # for what is left to do, and for how many threads there are
        self._threads = 0
        self._ended: queue.SimpleQueue[tuple[Task, Result] | BaseException | None]
        self._ended = queue.SimpleQueue()  # results, and an error or None for each thread's end

    def work(self, count: int, ended: Ended) -> Results:
        """Run the tasks, `count` at a time or as many as can be; the results of those that ended.

        `ended` is called for each of them. If not even one task can be started, `shortage` tells
        why from then on, and what is left isn't run. Another error in a thread is raised when the
        other threads have ended.
        """
        threads = self._start(min(count, len(self._todo)))
        results: Results = {}
        error: BaseException | None = None
        while threads:
            entry = self._ended.get()
            if isinstance(entry, tuple):
                task, result = entry
                results[task.name] = result
                ended(task.name, result)
            else:
                threads -= 1
                error = error or entry
        if error is not None:
            raise error
        return results

    def _start(self, count: int) -> int:
        """Start this many threads, or as many as can be; how many were started."""
        for started in range(count):
            with self._lock:
                self._threads += 1
            try:
                threading.Thread(target=self._work_through, daemon=True).start()
            except RuntimeError as error:
                if not (shortage := shortage_of(error)):
                    raise
                tell(shortage)
                if not self._others_go_on():
                    self.shortage = shortage
                return started
        return count

    def _work_through(self) -> None:
        """Run tasks until none is left; what a thread does."""
        end: BaseException | None = None
        try:
            while (task := self._next()) is not None:
                try:
                    result = self._run(task)
                except Shortage as shortage:
                    self._todo.appendleft(task)
                    if not self._others_go_on():  # with more of what there is for them
                        self.shortage = shortage
                    return
                if result is not None:
                    self._ended.put((task, result))
        except BaseException as error:
            end = error
        finally:
            self._ended.put(end)

    def _next(self) -> Task | None:
        with self._lock:
            return self._todo.popleft() if self._todo and self._may_start() else None

    def _others_go_on(self) -> bool:
        """Whether another thread goes on if this one ends; it counts as ended then."""
        with self._lock:
            self._threads -= 1
            return self._threads > 0
