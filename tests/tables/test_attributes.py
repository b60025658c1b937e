"""What a table keeps, for whoever reads it around the program."""

import json

from pyanamo.model import Claim
from tests.support.backends import START, DynamoDBBackend, SQLiteBackend
from tests.support.makers import badly, failed, nested, single, well
from tests.support.step import LEASE, STARTED, Step, make_step

MADE_WITH = {"PyAnamo": "1.2", "Instance_Type": "m5.large"}


def live_a_full_life(step: Step) -> tuple[Claim, Claim]:
    """An item that is locked and one that has failed: together they have every attribute."""
    step.add(single("ended", "seq 8"))
    ended = step.claim()
    used = {"cpu_seconds": 0.5, "max_rss_mb": 2.5, "peak_mb": 4.5}
    step.table.finish(
        ended, failed({"Task_0": badly(3, 1.25, **used, stdout="out")}, made_with=MADE_WITH)
    )
    step.add(nested("held", 2))
    held = step.claim()
    step.table.renew(
        held, lease=LEASE, results={"Task_0": well(0.5, cpu_seconds=0.25, max_rss_mb=1.5)}
    )
    return ended, held


def test_both_kinds_keep_the_same_slot(step: Step) -> None:
    """It spreads items over the index: other programs may read an index by it."""
    step.add(single("a"), single("Größe"), single("sample-1"))
    slots = {item_id: step.raw(item_id)["Slot"] for item_id in ("a", "Größe", "sample-1")}
    assert slots == {"a": "ca234c55", "Größe": "b7256ba6", "sample-1": "eb48b58f"}


def test_an_item_as_dynamodb_has_it(dynamo: DynamoDBBackend, table_name: str) -> None:
    step = make_step(dynamo, table_name)
    ended, held = live_a_full_life(step)
    import_ids = [step.raw(item_id)["Import_ID"] for item_id in ("ended", "held")]
    past = {
        "Attempt": {"N": "1"},
        "InstanceID": {"S": "pilot-1"},
        "Lock_Date": {"S": STARTED},
        "End_Date": {"S": STARTED},
        "Outcome": {"S": "failed"},
        "Reason": {"S": "exit code 3"},
        "lockID": {"S": ended.token},
        "Times_Lost": {"N": "0"},
    }
    assert dynamo.typed(table_name, "ended") == {
        "itemID": {"S": "ended"},
        "TaskID": {"S": "group"},
        "TaskScript": {"S": "seq 8"},
        "ItemState": {"S": "failed"},
        "Slot": {"S": "e1b197c4"},
        "InstanceID": {"S": "pilot-1"},
        "Lock_Date": {"S": STARTED},
        "Done_Date": {"S": STARTED},
        "Attempts": {"N": "1"},
        "Exit_Code": {"N": "3"},
        "Reason": {"S": "exit code 3"},
        "Run_Seconds": {"N": "1.25"},
        "CPU_Seconds": {"N": "0.5"},
        "Max_RSS_MB": {"N": "2.5"},
        "Peak_MB": {"N": "4.5"},
        "Log": {
            "M": {
                "Status": {"S": "failed"},
                "Exit_Code": {"N": "3"},
                "Reason": {"S": "exit code 3"},
                "Run_Seconds": {"N": "1.25"},
                "CPU_Seconds": {"N": "0.5"},
                "Max_RSS_MB": {"N": "2.5"},
                "Peak_MB": {"N": "4.5"},
                "stdout": {"S": "out"},
                "stdout_bytes": {"N": "0"},
                "stderr_bytes": {"N": "0"},
            }
        },
        "History": {"L": [{"M": past}]},
        "Import_ID": {"S": import_ids[0]},
        "Made_With": {"M": {"PyAnamo": {"S": "1.2"}, "Instance_Type": {"S": "m5.large"}}},
    }
    assert dynamo.typed(table_name, "held") == {
        "itemID": {"S": "held"},
        "TaskID": {"S": "group"},
        "TaskScript": {
            "M": {
                "Task_0": {"S": "seq 0"},
                "Task_1": {"S": "seq 1"},
            }
        },
        "Nested_Status": {"M": {"Task_0": {"S": "done"}, "Task_1": {"S": "todo"}}},
        "ItemState": {"S": "locked"},
        "Slot": {"S": "e22d07a8"},
        "lockID": {"S": held.token},
        "InstanceID": {"S": "pilot-1"},
        "Lock_Date": {"S": STARTED},
        "Lease_Expires": {"N": str(START + LEASE)},
        "Attempts": {"N": "1"},
        "Nested_Tasks": {"N": "2"},
        "Nested_Done": {"N": "1"},
        "Log": {
            "M": {
                "Task_0": {
                    "M": {
                        "Status": {"S": "done"},
                        "Exit_Code": {"N": "0"},
                        "Run_Seconds": {"N": "0.5"},
                        "CPU_Seconds": {"N": "0.25"},
                        "Max_RSS_MB": {"N": "1.5"},
                        "stdout_bytes": {"N": "0"},
                        "stderr_bytes": {"N": "0"},
                    }
                }
            }
        },
        "Import_ID": {"S": import_ids[1]},
    }


def test_an_item_as_sqlite_has_it(sqlite: SQLiteBackend) -> None:
    step = make_step(sqlite, "Step")
    ended, held = live_a_full_life(step)
    columns = sqlite.execute("SELECT name, type FROM pragma_table_info('items')")
    assert {column["name"]: column["type"] for column in columns} == {
        "workflow_table": "TEXT",
        "itemID": "TEXT",
        "TaskID": "TEXT",
        "TaskScript": "TEXT",
        "ItemState": "TEXT",
        "Slot": "TEXT",
        "lockID": "TEXT",
        "InstanceID": "TEXT",
        "Lock_Date": "TEXT",
        "Done_Date": "TEXT",
        "Lease_Expires": "INTEGER",
        "Attempts": "INTEGER",
        "Nested_Status": "TEXT",
        "Nested_Tasks": "INTEGER",
        "Nested_Done": "INTEGER",
        "Exit_Code": "INTEGER",
        "Reason": "TEXT",
        "Run_Seconds": "REAL",
        "CPU_Seconds": "REAL",
        "Max_RSS_MB": "REAL",
        "Peak_MB": "REAL",
        "Log": "TEXT",
        "History": "TEXT",
        "Import_ID": "TEXT",
        "Made_With": "TEXT",
    }
    assert sqlite.execute("SELECT name FROM workflow_tables") == [{"name": "Step"}]

    first, second = sqlite.execute("SELECT * FROM items ORDER BY itemID")
    (past,) = json.loads(first.pop("History"))
    assert past["lockID"] == ended.token
    assert json.loads(first.pop("Log"))["stdout"] == "out"
    assert json.loads(first.pop("Made_With")) == MADE_WITH
    assert first.pop("Import_ID").startswith(STARTED)
    assert first == {
        "workflow_table": "Step",
        "itemID": "ended",
        "TaskID": "group",
        "TaskScript": "seq 8",
        "ItemState": "failed",
        "Slot": "e1b197c4",
        "lockID": None,
        "InstanceID": "pilot-1",
        "Lock_Date": STARTED,
        "Done_Date": STARTED,
        "Lease_Expires": None,
        "Attempts": 1,
        "Nested_Status": None,
        "Nested_Tasks": None,
        "Nested_Done": None,
        "Exit_Code": 3,
        "Reason": "exit code 3",
        "Run_Seconds": 1.25,
        "CPU_Seconds": 0.5,
        "Max_RSS_MB": 2.5,
        "Peak_MB": 4.5,
    }
    assert json.loads(second["TaskScript"]) == {"Task_0": "seq 0", "Task_1": "seq 1"}
    assert json.loads(second["Nested_Status"]) == {"Task_0": "done", "Task_1": "todo"}
    assert (second["lockID"], second["Lease_Expires"]) == (held.token, START + LEASE)
    assert (second["Nested_Tasks"], second["Nested_Done"], second["History"]) == (2, 1, None)


def test_the_dynamodb_table_as_it_is_made(dynamo: DynamoDBBackend, table_name: str) -> None:
    make_step(dynamo, table_name)
    table = dynamo.client.describe_table(TableName=table_name)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["KeySchema"] == [{"AttributeName": "itemID", "KeyType": "HASH"}]
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    assert types == {"itemID": "S", "ItemState": "S", "Slot": "S"}
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "ItemStateIndex"
    assert index["KeySchema"] == [
        {"AttributeName": "ItemState", "KeyType": "HASH"},
        {"AttributeName": "Slot", "KeyType": "RANGE"},
    ]
    assert index["Projection"]["ProjectionType"] == "INCLUDE"
    assert set(index["Projection"]["NonKeyAttributes"]) == {
        "TaskID",
        "InstanceID",
        "Lock_Date",
        "Done_Date",
        "Nested_Tasks",
        "Nested_Done",
        "Exit_Code",
        "Run_Seconds",
    }
