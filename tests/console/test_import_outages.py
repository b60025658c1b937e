"""An import while DynamoDB has its troubles."""

import random
import re
from pathlib import Path
from typing import Any

import pytest

from pyanamo.model import ItemState
from tests.support.faulty_proxy import Action, Decide, Fault, FaultyProxy, StatementErrors
from tests.support.importing import HEADER, finish_one, large, names, through, told, written
from tests.support.operator import Operator

ROWS = 1000
BATCHES = ROWS // 25
FAULTLESS_REQUESTS = BATCHES + 3  # look for the table, create it, and see that it is there


def throttle_requests(share: float) -> Decide:
    """Refuse so many of all requests."""
    chance = random.Random(1)
    return lambda *_: Fault.THROTTLE if chance.random() < share else Fault.NONE


def refuse_statements(share: float, code: str, *, written: bool = False) -> Decide:
    """Answer so many of the statements of batches with an error."""
    chance = random.Random(2)

    def decide(operation: str, body: Any, count: int) -> Action:
        if operation != "BatchExecuteStatement":
            return Fault.NONE
        places = [n for n in range(len(body["Statements"])) if chance.random() < share]
        return StatementErrors(dict.fromkeys(places, code), written=written)

    return decide


def every_fourth_batch(fault: Fault) -> Decide:
    return lambda operation, body, count: (
        fault if operation == "BatchExecuteStatement" and count % 4 == 1 else Fault.NONE
    )


REQUEST_FAULTS = {
    "none": lambda: throttle_requests(0),
    "30 % throttled": lambda: throttle_requests(0.3),
    "requests lost": lambda: every_fourth_batch(Fault.DROP_BEFORE),
    "replies lost": lambda: every_fourth_batch(Fault.DROP_AFTER),
    "errors before": lambda: every_fourth_batch(Fault.ERROR_BEFORE),
    "errors after": lambda: every_fourth_batch(Fault.ERROR_AFTER),
}
STATEMENT_FAULTS = {
    "30 % throttled": lambda: refuse_statements(0.3, "ThrottlingError"),
    "errors after": lambda: refuse_statements(0.3, "InternalServerError", written=True),
}


@pytest.mark.parametrize("fault", REQUEST_FAULTS)
def test_requests_that_go_wrong(
    fault: str, hosted: Operator, dynamodb: str, tmp_path: Path
) -> None:
    with FaultyProxy(dynamodb, REQUEST_FAULTS[fault]()) as proxy:
        finished = through(proxy, hosted).imports("-i", large(tmp_path, ROWS), hasty=True)
    assert (finished.code, finished.last_line) == (0, f"imported {ROWS}, already there 0")
    assert hosted.names() == names(ROWS)
    assert FAULTLESS_REQUESTS <= len(proxy.operations) <= 2 * FAULTLESS_REQUESTS
    assert (len(proxy.operations) > FAULTLESS_REQUESTS) == (fault != "none")


@pytest.mark.parametrize("fault", STATEMENT_FAULTS)
def test_statements_that_go_wrong(
    fault: str, hosted: Operator, dynamodb: str, tmp_path: Path
) -> None:
    """An answer that is well as a whole has some that are not: only these are tried again."""
    decide = STATEMENT_FAULTS[fault]()
    statements = 0

    def counting(operation: str, body: Any, count: int) -> Action:
        nonlocal statements
        statements += len(body.get("Statements", ()))
        return decide(operation, body, count)

    with FaultyProxy(dynamodb, counting) as proxy:
        finished = through(proxy, hosted).imports("-i", large(tmp_path, ROWS), hasty=True)
    assert (finished.code, finished.last_line) == (0, f"imported {ROWS}, already there 0")
    assert hosted.names() == names(ROWS)
    assert ROWS < statements <= 2 * ROWS
    assert len(proxy.operations) <= 2 * FAULTLESS_REQUESTS


def test_lost_replies_do_not_make_others_items_ours(
    hosted: Operator, dynamodb: str, tmp_path: Path
) -> None:
    hosted.imports("-i", large(tmp_path, 500))
    with FaultyProxy(dynamodb, every_fourth_batch(Fault.DROP_AFTER)) as proxy:
        finished = through(proxy, hosted).imports("-i", large(tmp_path, ROWS), hasty=True)
    assert (finished.code, finished.last_line) == (0, "imported 500, already there 500")
    assert hosted.names() == names(ROWS)


def test_statements_that_are_refused_for_good(hosted: Operator, dynamodb: str, five: Path) -> None:
    with FaultyProxy(dynamodb, refuse_statements(1, "ThrottlingError")) as proxy:
        finished = through(proxy, hosted).imports("-i", five, hasty=True)
    assert (finished.code, finished.stdout) == (1, "")
    assert re.search(r"5 items, for example 'A', were refused \d+ times in a row", finished.stderr)
    assert "Traceback" not in finished.stderr
    assert hosted.names() == []


def test_dynamodb_goes_away(hosted: Operator, dynamodb: str, tmp_path: Path) -> None:
    """It says what it is sure of having written; running it again completes."""
    file = large(tmp_path, ROWS)

    def decide(operation: str, body: Any, count: int) -> Action:
        return Fault.DROP_BEFORE if count > 12 else Fault.NONE

    with FaultyProxy(dynamodb, decide) as proxy:
        finished = through(proxy, hosted).imports("-i", file, hasty=True)
    assert (finished.code, finished.stdout) == (1, "")
    assert "Traceback" not in finished.stderr
    error, count = finished.stderr.splitlines()[-2:]
    assert "DynamoDB" in error
    match = re.fullmatch(r"imported (\d+), already there 0 before the error", count)
    assert match, finished
    there = len(hosted.names())
    assert 0 < int(match[1]) <= there < ROWS
    assert told(hosted.imports("-i", file)) == (ROWS - there, there)


def test_a_replacement_that_is_tried_again_spares_what_was_done_meanwhile(
    hosted: Operator, dynamodb: str, tmp_path: Path
) -> None:
    """The reply to the first try is lost; before the second, a pilot has done the item."""

    def decide(operation: str, body: Any, count: int) -> Action:
        if operation != "PutItem":
            return Fault.NONE
        if count == 1:
            return Fault.DROP_AFTER
        with hosted.opened() as table:
            finish_one(table)
        return Fault.NONE

    one = written(tmp_path / "one.txt", f"{HEADER}\nA|x|true\n")
    with FaultyProxy(dynamodb, decide) as proxy:
        finished = through(proxy, hosted).imports("-i", one, "--replace")
    assert finished.code == 0
    assert proxy.count("PutItem") == 2
    assert hosted.names(ItemState.DONE) == ["A"]
