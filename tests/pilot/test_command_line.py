"""What a pilot says, what it refuses, and its exit code."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pyanamo.model import ItemState
from tests.support.pilots import LOG_LINE
from tests.support.place import Place

TODO, LOCKED, DONE, FAILED = (
    ItemState.TODO,
    ItemState.LOCKED,
    ItemState.DONE,
    ItemState.FAILED,
)


def test_summary_on_stdout_log_on_stderr_and_0_though_items_failed(place: Place) -> None:
    place.fill({**{f"good{n}": "true" for n in range(5)}, "bad": "false"})

    ended = place.run()

    assert ended.code == 0
    assert re.fullmatch(r"done 5, failed 1, released 0 in \d+\.\d s\n", ended.stdout)
    lines = ended.stderr.splitlines()
    assert all(LOG_LINE.fullmatch(line) for line in lines)
    assert len([line for line in lines if " claimed, attempt 1" in line]) == 6
    (failure,) = (line for line in lines if " WARNING " in line)
    assert re.search(r" itemID=bad TaskID=bad-group failed in \d+\.\d s: exit code 1$", failure)
    states = {item_id: item.state for item_id, item in place.items().items()}
    assert states == {**{f"good{n}": DONE for n in range(5)}, "bad": FAILED}


def test_the_last_line_of_a_failed_task(place: Place) -> None:
    """It is in the warning; of a nested item, that of the first task that failed."""
    script = place.script("fail", "printf 'a\\nno %s\\n\\n' $1 >&2; exit $2")
    place.fill(
        {"single": f"{script} reads 2", "nested": ["true", f"{script} X 3", f"{script} Y 4"]}
    )
    place.fill({"long": place.script("long", "printf '%0400d\\n' 7 >&2; false"), "silent": "false"})
    lines = place.run("-n", "3").stderr.splitlines()
    told = {line.split()[2]: line.partition(" s: ")[2] for line in lines if " WARNING " in line}
    assert told == {
        "itemID=single": "exit code 2: no reads",
        "itemID=nested": "exit code 3: no X",
        "itemID=long": f"exit code 1: {'0' * 297}...",
        "itemID=silent": "exit code 1",
    }


def test_why_it_claims_no_more(local: Place) -> None:
    local.fill({f"item-{n}": "sleep 2" for n in range(3)})
    why = "no more is claimed: "
    assert local.run("-w", "1").stderr.endswith(f"{why}the wall time is used up\n")
    assert local.run("--max-items", "1").stderr.endswith(f"{why}--max-items 1 is reached\n")
    assert why not in local.run().stderr


def test_how_much_it_says(local: Place) -> None:
    local.fill({"bad": "false", "nested": ["true", "seq 3"]})
    quiet = local.run("-q")
    assert [line.split()[1:3] for line in quiet.stderr.splitlines()] == [["WARNING", "itemID=bad"]]
    local.fill({"more": ["true", "seq 3"]})
    assert "task=Task_1 done in " in local.run("-v").stderr


def test_fail_on_item_failure(local: Place) -> None:
    local.fill({"good": "true"})
    assert local.run("--fail-on-item-failure").code == 0
    local.fill({"bad": "false"})
    assert local.run("--fail-on-item-failure").code == 3


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--lease", "5"], "--lease 5"),
        (["--lease", "9.9s"], "--lease 9.9"),
        (["--kill-after", "10"], "-w"),
        (["--task-timeout", "0"], "--task-timeout 0"),
        (["-i", "0"], "'0'"),
        (["-i", "9" * 5000], "not a whole number"),
        (["--lease", "9" * 400], "is too long"),
        (["--max-log", "9" * 400], "is too large"),
        (["-n", "two"], "'two'"),
        (["-w", "soon"], "'soon'"),
        (["-w", "-5"], "-w"),
        (["--retries", "-1"], "--retries"),
        (["--max-attempts", "0"], "'0'"),
        (["--no-such-flag"], "--no-such-flag"),
        (["-i", "2", "--items", "3"], "argument -i/--items: it is given twice, but takes one"),
        (["-t", "Other"], "argument -t/--table: it is given twice"),
        (["--retires", "1"], "unrecognized arguments: --retires 1; did you mean '--retries'?"),
        (["--log-format", "jsno"], "'jsno' is not one of text, json; did you mean 'json'?"),
        (["-w", "1 day"], "'1 day' is not a duration: use 90, 90s, 30m, 2h or 1d"),
        (["-b", "My_Logs"], "'My_Logs' can't be a bucket's name: 3 to 63 lower-case letters, "),
        (["-b", "s3://logs-/x"], "-b 's3://logs-/x': 'logs-' can't be a bucket's name"),
    ],
)
def test_wrong_flags(local: Place, flags: list[str], complaint: str) -> None:
    local.fill({"item": "true"})
    ended = local.run(*flags)
    assert ended.code == 2
    (line,) = ended.stderr.splitlines()
    assert complaint in line
    assert ended.stdout == ""
    assert local.item("item").state is TODO


def test_without_a_table(local: Place) -> None:
    ended = local.run(table=[])
    assert (ended.code, ended.stderr) == (2, "which table? Give -t, or set PYANAMO_TABLE\n")


@pytest.mark.parametrize("name", ["a b", ""])
def test_a_name_that_no_table_can_have(local: Place, name: str) -> None:
    local.environment["PYANAMO_TABLE"] = local.table_name
    ended = local.run(table=["-t", name])
    assert ended.code == 2
    assert ended.stderr.startswith(f"{name!r} can't be a table's name: ")


def test_the_table_from_the_environment(place: Place) -> None:
    place.fill({"item": "true"})
    place.environment["PYANAMO_TABLE"] = place.table_name
    assert place.run(table=place.flags[2:]).counts["done"] == 1


def test_a_table_whose_name_is_mistyped(place: Place) -> None:
    place.fill({"item": "true"})
    mistyped = place.table_name.replace("e", "ee", 1)
    ended = place.run(table=["-t", mistyped, *place.flags[2:]])
    assert ended.code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"there is no table {mistyped!r} in ")
    assert line.endswith(f"; did you mean {place.table_name!r}?")


def test_a_table_that_is_not_there(place: Place) -> None:
    place.fill({"item": "true"})
    ended = place.run(table=["-t", "No_Such_Table", *place.flags[2:]])
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "'No_Such_Table'" in line
    assert "an import makes it" in line


def test_a_file_that_is_not_there(local: Place) -> None:
    ended = local.run(table=["-t", "Table", "--local", "nowhere/no.db"])
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "nowhere/no.db" in line


def test_a_file_of_another_program(local: Place) -> None:
    (local.folder / "other.db").write_text("no database at all, " * 100)
    ended = local.run(table=["-t", "Table", "--local", "other.db"])
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "other.db" in line


def test_no_credentials(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ended = local.run(table=["-t", "Table"])
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "AWS_ACCESS_KEY_ID" in line


def test_access_denied(local: Place) -> None:
    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = (
                b'{"__type": "com.amazon.coral.service#AccessDeniedException",'
                b' "Message": "you may not query that"}'
            )
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(400)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        ended = local.run(table=["-t", "Table", "--endpoint-url", url])
        server.shutdown()
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "denied" in line
    assert "you may not query that" in line


def test_an_endpoint_where_nobody_is(local: Place) -> None:
    url = "http://127.0.0.1:9"
    ended = local.run(table=["-t", "Table", "--endpoint-url", url], hasty=True)
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert url in line


def test_where_the_table_is_from_the_environment(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.fill({"item": "true"})
    monkeypatch.setenv("PYANAMO_LOCAL", "table.db")
    assert local.run(table=["-t", local.table_name]).counts["done"] == 1
