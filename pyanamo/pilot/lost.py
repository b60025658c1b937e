"""Give back what a worker held that died.

Each worker notes its claim in memory that it shares with its pilot. Where it dies, and its pilot
lives, nobody has to wait for the lease's end: the pilot first ends what the worker's tasks have
left running, and its next worker ends the claim before it makes one of its own, with a table that
was opened in its own process. Where there is no note, or no way to the table, the lease decides.
"""

from __future__ import annotations

import json
import logging
import mmap
from dataclasses import dataclass

from pyanamo.errors import PyAnamoError
from pyanamo.model import Claim
from pyanamo.pilot.pilotlog import about
from pyanamo.tables import WorkflowTable
from pyanamo.tables.attributes import history_attribute, read_item
from pyanamo.tables.transitions import is_lost_too_often

log = logging.getLogger(__name__)

# A name of 2,048 bytes, each of which JSON may escape with six, and ten attempts. What isn't used
# of it takes no memory.
_NOTE_BYTES = 32 * 1024
_LENGTH_BYTES = 8
_JSON = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class LostClaim:
    """A claim whose worker has died, and how: as much of its item as it takes to end it."""

    claim: Claim
    reason: str


class ClaimNotes:
    """What each of a pilot's workers holds, in memory that processes forked later share.

    Without locks: only the worker writes its note. The length goes last, eight aligned bytes that
    are stored at once: a worker that dies before has no note.
    """

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, workers * _NOTE_BYTES)
        self._lengths = memoryview(self._memory).cast("Q")

    def write(self, worker: int, claim: Claim) -> None:
        """Note the worker's claim. (Called by that worker.)"""
        self.wipe(worker)
        item = claim.item
        note = {
            "itemID": item.item_id,
            "TaskID": item.task_id,
            "lockID": claim.token,
            "InstanceID": item.instance,
            "Lock_Date": item.lock_date,
            "Attempts": item.attempts,
            "History": history_attribute(item.history),
        }
        content = _JSON.encode(note).encode()
        if len(content) <= _NOTE_BYTES - _LENGTH_BYTES:
            start = worker * _NOTE_BYTES + _LENGTH_BYTES
            self._memory[start : start + len(content)] = content
            self._set_length(worker, len(content))

    def wipe(self, worker: int) -> None:
        """The worker holds nothing. (Called by that worker.)"""
        self._set_length(worker, 0)

    def take(self, worker: int) -> Claim | None:
        """What the worker has noted; None from then on. (Called once it is dead.)"""
        length = self._lengths[worker * _NOTE_BYTES // _LENGTH_BYTES]
        if length == 0:
            return None
        start = worker * _NOTE_BYTES + _LENGTH_BYTES
        note = json.loads(self._memory[start : start + length])
        self.wipe(worker)
        return Claim(item=read_item(note), token=note["lockID"])

    def _set_length(self, worker: int, length: int) -> None:
        self._lengths[worker * _NOTE_BYTES // _LENGTH_BYTES] = length


def give_back(table: WorkflowTable, lost: LostClaim, max_attempts: int) -> bool:
    """End the claim, unless its worker has still done so itself; whether the item is failed now.

    Tried once.
    """
    extra = about(lost.claim.item)
    try:
        if not table.lose(lost.claim, lost.reason, max_attempts=max_attempts):
            return False
    except PyAnamoError as error:
        log.warning("not given back, so that its lease must run out: %s", error, extra=extra)
        return False
    is_failed = is_lost_too_often(lost.claim.item, max_attempts)
    words = "lost too often (--max-attempts), so that it is failed" if is_failed else "lost"
    log.warning("%s: %s", words, lost.reason, extra=extra)
    return is_failed
