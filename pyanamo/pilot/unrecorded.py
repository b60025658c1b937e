"""Results that the table did not take: kept in a file, so that nothing is lost silently."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from pyanamo.model import Claim, Outcome
from pyanamo.tables.attributes import log_attribute


def keep(table: str, claim: Claim, outcome: Outcome) -> Path | None:
    """Write an outcome to a file in this folder, or else in that for temporary files.

    None when there is nothing worth keeping: no task has ended.
    """
    if not outcome.results:
        return None
    item = claim.item
    content = {
        "table": table,
        "itemID": item.item_id,
        "TaskID": item.task_id,
        "lockID": claim.token,
        "Lock_Date": item.lock_date,
        "outcome": outcome.ending.value,
        "reason": outcome.reason,
        "Log": log_attribute(outcome.results, nested=item.nested),
    }
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    name = f"pyanamo-unrecorded-{table}-{claim.token}.json"
    for folder in (Path(), Path(tempfile.gettempdir())):
        if os.access(folder, os.W_OK):
            file = (folder / name).absolute()
            file.write_text(text, encoding="utf-8")
            return file
    return None
