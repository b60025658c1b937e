"""Items whose tasks make a file when they are ready, and then don't end."""

from __future__ import annotations

from pyanamo.model import Ending, ItemState
from tests.support.place import Place

TODO, LOCKED, DONE, FAILED = ItemState.TODO, ItemState.LOCKED, ItemState.DONE, ItemState.FAILED

# Only SIGKILL ends the tasks of STUBBORN.
TIDY = "trap 'touch tidied; exit' TERM; touch ready.$id; sleep 300 & wait"
PLAIN = "sleep 300 & sleep 300 & touch ready.$id; wait"
STUBBORN = {
    "ignores": "trap '' TERM INT; touch ready.$id; while :; do sleep 1; done",
    "ignoring-child": "(trap '' TERM; sleep 300) & touch ready.$id; sleep 300",
    "daemon": "setsid --fork bash -c \"trap '' TERM; touch ready.$id; sleep 300\"; sleep 300",
    "silent": "exec >&- 2>&-; trap '' TERM; touch ready.$id; while :; do sleep 1; done",
    "frozen": "touch ready.$id; kill -STOP $$; while :; do sleep 1; done",
    "talkative": "trap '' TERM; touch ready.$id; yes 2>&-",
}


def hanging(place: Place, **scripts: str) -> list[str]:
    """Add items with these scripts; the files that they make when they are ready."""
    for name, script in scripts.items():
        place.script(f"{name}.sh", script)
    place.fill({name: f"./{name}.sh" for name in scripts})
    return [f"ready.{name}.Task_0" for name in scripts]


def assert_given_back(place: Place, *item_ids: str, reason: str) -> None:
    """Check that the items are todo again, that the attempt doesn't count, and the reason."""
    for item_id in item_ids:
        item = place.item(item_id)
        assert (item.state, item.token, item.attempts) == (TODO, "", 0)
        assert [(past.ending, past.reason) for past in item.history] == [
            (Ending.INTERRUPTED, reason)
        ]


DELAYS = [n * 0.04 for n in range(200)]
