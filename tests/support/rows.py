"""Rows of the index that never were in a table."""

from hypothesis import strategies as st

from pyanamo.model import ItemState, ItemSummary, utc_date

NOW = 1_800_000_000.0
MINUTE, HOUR = 60.0, 3600.0
TODO, LOCKED, DONE, FAILED, HELD = ItemState

_ids = iter(range(10**9))


def _ago(seconds: float | None) -> str:
    """A date so many seconds before `NOW`; none for None."""
    return "" if seconds is None else utc_date(NOW - seconds)


def row(
    state: ItemState,
    *,
    task_id: str = "Sample1",
    locked: float | None = None,
    ended: float | None = None,
    nested: tuple[int, int] | None = None,
    run_seconds: float | None = None,
) -> ItemSummary:
    """A row of the index; `locked` and `ended` are seconds ago, `nested` is tasks and done."""
    return ItemSummary(
        item_id=f"item{next(_ids)}",
        task_id=task_id,
        state=state,
        lock_date=_ago(locked),
        done_date=_ago(ended),
        nested_tasks=nested[0] if nested else None,
        nested_done=nested[1] if nested else None,
        run_seconds=run_seconds,
    )


@st.composite
def any_rows(draw: st.DrawFn) -> ItemSummary:
    """Any row, also one that no table would have."""
    state = draw(st.sampled_from(ItemState))
    tasks = draw(st.integers(1, 30))
    age = st.none() | st.floats(-100, 10 * 24 * HOUR)
    return row(
        state,
        task_id=draw(st.sampled_from(["", "Sample2", "Sample10", "sample2"])),
        locked=draw(age),
        ended=draw(age),
        nested=draw(st.none() | st.integers(0, tasks).map(lambda done: (tasks, done))),
        run_seconds=draw(st.none() | st.floats(0, 1000)),
    )
