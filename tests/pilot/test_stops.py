"""Signals, deaths and machines that go: nothing goes on running, nothing is lost or run twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pyanamo.model import Ending, ItemState, TaskStatus
from pyanamo.pilot.memory import OOMCounter, RecentKills
from tests.support.pilots import (
    PilotProcess,
    Place,
    endings,
    is_alive,
    processes,
    result,
    unshared,
    wait_until,
)
from tests.support.tables import Clock

TODO, LOCKED, DONE, FAILED = ItemState.TODO, ItemState.LOCKED, ItemState.DONE, ItemState.FAILED


# --- Being told to stop -------------------------------------------------------------------------

# Tasks that say that they are ready, and then don't end. Those of STUBBORN need SIGKILL.
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
    """Items with such scripts, and the files that tell that all are ready."""
    for name, script in scripts.items():
        place.script(f"{name}.sh", script)
    place.fill({name: f"./{name}.sh" for name in scripts})
    return [f"ready.{name}.Task_0" for name in scripts]


def assert_given_back(place: Place, *item_ids: str, reason: str) -> None:
    """The items wait again, the attempts at them don't count, and their history tells why."""
    for item_id in item_ids:
        item = place.item(item_id)
        assert (item.state, item.token, item.attempts) == (TODO, "", 0)
        assert [(past.ending, past.reason) for past in item.history] == [
            (Ending.INTERRUPTED, reason)
        ]


@pytest.mark.parametrize(
    ("place", "number", "code"),
    [
        ("embedded", signal.SIGTERM, 143),
        ("embedded", signal.SIGINT, 130),
        ("dynamodb", signal.SIGTERM, 143),
    ],
    indirect=["place"],
)
def test_a_signal_stops_everything_and_gives_the_items_back(
    place: Place, number: signal.Signals, code: int
) -> None:
    """Whatever the tasks do; and what a nested item's tasks have just done is recorded."""
    ready = hanging(place, **STUBBORN)
    place.script("first.sh", "echo first; touch ready.$id; wait_for go")
    place.script("plain.sh", PLAIN)
    place.fill({"nested": ["./first.sh", "./plain.sh", "./plain.sh"]})

    pilot = place.start("-i", "7", "-n", "2")
    place.wait_for(*ready, "ready.nested.Task_0", "ready.nested.Task_1")
    place.touch("go")
    wait_until(lambda: not place.task("nested", "Task_0"), "the first task has ended")
    signalled = time.monotonic()
    pilot.signal(number)
    ended = pilot.wait(20)

    assert time.monotonic() - signalled < 20
    assert ended.code == code
    assert place.processes() == []
    assert ended.counts == {"done": 0, "failed": 0, "released": 7, "lost": 0}
    assert_given_back(place, *STUBBORN, "nested", reason=f"stopped by {number.name}")
    nested = place.item("nested")
    assert [task.status for task in nested.tasks] == [TaskStatus.DONE] + [TaskStatus.TODO] * 2
    assert result(nested, "Task_0").stdout == "first\n"


def test_a_stop_takes_no_longer_than_the_tasks_need(local: Place) -> None:
    ready = hanging(local, plain=PLAIN, tidy=TIDY)
    pilot = local.start("-i", "2")
    local.wait_for(*ready)
    signalled = time.monotonic()
    pilot.signal(signal.SIGTERM)
    assert pilot.wait().code == 143
    assert time.monotonic() - signalled < 5
    assert local.has("tidied")
    assert_given_back(local, "plain", "tidy", reason="stopped by SIGTERM")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_a_second_signal_stops_at_once(local: Place, number: signal.Signals, code: int) -> None:
    """Nobody waits for tasks that ignore SIGTERM; they are killed all the same."""
    ready = hanging(local, **STUBBORN)
    pilot = local.start("-i", "6")
    local.wait_for(*ready)
    pilot.signal(number)
    pilot.wait_for_log("giving back")
    signalled = time.monotonic()
    pilot.signal(number)

    ended = pilot.wait(10)

    assert time.monotonic() - signalled < 5
    assert ended.code == code
    assert local.processes() == []
    assert_given_back(local, *STUBBORN, reason=f"stopped by {number.name}")


DELAYS = [n * 0.04 for n in range(200)]


@pytest.mark.parametrize(
    ("place", "number", "codes"),
    [
        ("embedded", signal.SIGTERM, {143, -signal.SIGTERM}),
        ("embedded", signal.SIGINT, {130, -signal.SIGINT}),
        ("dynamodb", signal.SIGTERM, {143, -signal.SIGTERM}),
    ],
    indirect=["place"],
)
def test_a_signal_in_the_first_second(
    place: Place, number: signal.Signals, codes: set[int]
) -> None:
    """Later and later, from before the first line of the program to when its tasks run."""
    place.script("plain.sh", PLAIN)
    place.fill({"one": "./plain.sh", "two": ["./plain.sh"]})
    for delay in DELAYS[:: 1 if place.store.local else 3]:  # boto3 takes its time to load
        pilot = place.start("-i", "2")
        time.sleep(delay)
        pilot.signal(number)
        ended = pilot.wait(20)
        python_was_there = "Fatal Python error: init_" not in ended.stderr
        assert ended.code in (codes if python_was_there else {1}), f"after {delay} s"
        place.wait_for_no_process()
        items = place.items().values()
        assert all((item.state, item.token, item.attempts) == (TODO, "", 0) for item in items)
        if all(item.history for item in items):
            return
    pytest.fail(f"even {DELAYS[-1]} s after the start no signal came while the items were run")


# --- Being killed outright ----------------------------------------------------------------------


def test_workers_whose_pilot_is_killed_give_their_items_back(place: Place) -> None:
    ready = hanging(place, plain=PLAIN, daemon=STUBBORN["daemon"])
    pilot = place.start("-i", "2")
    place.wait_for(*ready)
    pilot.signal(signal.SIGKILL)
    assert pilot.wait().code == -signal.SIGKILL
    place.wait_for_no_process(20)
    assert_given_back(place, "plain", "daemon", reason="the pilot is gone")


def test_nothing_is_left_of_a_pilot_that_is_killed_with_all_its_workers(local: Place) -> None:
    ready = hanging(local, plain=PLAIN, **STUBBORN)
    pilot = local.start("-i", "7", "--lease", "10s")
    local.wait_for(*ready)

    pilot.signal_all(signal.SIGKILL)

    assert pilot.wait().code == -signal.SIGKILL
    local.wait_for_no_process(5)
    assert {item.state for item in local.items().values()} == {LOCKED}


# --- Being frozen -------------------------------------------------------------------------------

EXCLUSIVE = """
exec 9> lock
flock --nonblock 9 || echo "$PYANAMO_ATTEMPT while another one runs" >> overlaps
echo $PYANAMO_ATTEMPT >> ran
[ $PYANAMO_ATTEMPT = 1 ] && { touch ready; sleep 300 & wait; }
wait_for go
"""


@pytest.mark.parametrize(
    ("place", "frozen"),
    [("embedded", "worker"), ("dynamodb", "pilot and worker")],
    indirect=["place"],
)
def test_who_is_frozen_for_longer_than_the_lease_loses_the_item(place: Place, frozen: str) -> None:
    """Its task is dead before another pilot runs it, and the item isn't touched afterwards."""
    place.script("exclusive.sh", EXCLUSIVE)
    place.fill({"item": "./exclusive.sh"})
    pilot = place.start("--lease", "10s", "--max-items", "1")
    place.wait_for("ready")
    tasks = place.task("item")
    stopped = [place.worker_of("item")] + ([pilot.pid] if frozen != "worker" else [])
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    expires = place.item("item").lease_expires
    assert expires is not None

    other = place.start("--lease", "10s", "--idle", "40", "--max-items", "1")
    wait_until(lambda: not any(map(is_alive, tasks)), "the tasks are dead")
    assert time.time() < expires
    wait_until(lambda: len(place.lines("ran")) == 2, "the other pilot runs it")
    assert time.time() >= expires
    place.touch("go")
    assert other.wait().counts["done"] == 1
    before = place.item("item")
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    ended = pilot.wait()

    assert ended.code == 0
    assert ended.counts == {"done": 0, "failed": 0, "released": 0, "lost": 1}
    item = place.item("item")
    assert item == before
    assert (item.state, item.attempts, item.exit_code) == (DONE, 2, 0)
    assert endings(item) == [Ending.LOST, Ending.DONE]
    assert place.lines("ran") == ["1", "2"]
    assert place.lines("overlaps") == []
    assert list(place.folder.glob("pyanamo-unrecorded-*")) == []  # nothing of it is worth keeping


# --- Parents and process 1 ----------------------------------------------------------------------

ORPHANS = """
for n in 1 2 3 4 5; do setsid --fork bash -c 'until test -e end; do sleep 0.02; done'; done
touch ready
wait_for go
"""


def test_what_a_task_orphans_does_not_stay_as_a_zombie(local: Place) -> None:
    local.script("orphans.sh", ORPHANS)
    local.fill({"item": "./orphans.sh"})
    pilot = local.start()
    local.wait_for("ready")

    def adopted() -> list[int]:
        tasks = local.task("item")
        return [child.pid for child in pilot.children if child.pid in tasks]

    wait_until(lambda: len(adopted()) == 5, "the pilot has adopted the orphans")
    orphans = adopted()
    local.touch("end")
    wait_until(
        lambda: not any(process.pid in orphans for process in processes()),
        "the orphans have been reaped, the pilot still running",
        seconds=5,
    )
    assert pilot.is_running
    local.touch("go")
    assert pilot.wait().counts["done"] == 1


def process_one(pilot: PilotProcess) -> int:
    """The pilot itself, where `pilot` is the unshare(1) that runs it as process 1."""
    return wait_until(lambda: pilot.children, "process 1")[0].pid


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = (line.split()[1] for line in status if line.startswith("SigCgt:"))
    return bool(int(caught, 16) & 1 << (number - 1))


def test_a_pilot_that_is_process_1_stops_like_any_other(local: Place) -> None:
    ready = hanging(local, plain=PLAIN, **STUBBORN)
    unshare = local.start("-i", "7", prefix=unshared())
    local.wait_for(*ready)
    signalled = time.monotonic()
    os.kill(process_one(unshare), signal.SIGTERM)
    ended = unshare.wait(20)
    assert time.monotonic() - signalled < 20
    assert ended.code == 143
    assert ended.counts["released"] == 7
    assert_given_back(local, "plain", *STUBBORN, reason="stopped by SIGTERM")


def test_a_signal_to_process_1_in_the_first_second(local: Place) -> None:
    """Later and later, from its first lines on: before them the kernel ignores the signal."""
    local.script("plain.sh", PLAIN)
    local.fill({"one": "./plain.sh", "two": ["./plain.sh"]})
    for delay in DELAYS:
        unshare = local.start("-i", "2", prefix=unshared())
        pilot = process_one(unshare)
        wait_until(partial(handles, pilot, signal.SIGTERM), "it has a handler")
        time.sleep(delay)
        os.kill(pilot, signal.SIGTERM)
        assert unshare.wait(20).code == 143, f"after {delay} s"
        items = local.items().values()
        assert all((item.state, item.token, item.attempts) == (TODO, "", 0) for item in items)
        if all(item.history for item in items):
            return
    pytest.fail(f"even {DELAYS[-1]} s after the start no signal came while the items were run")


@pytest.mark.parametrize("is_process_1", [False, True])
def test_a_signal_while_the_table_does_not_answer(local: Place, is_process_1: bool) -> None:
    """So early that nothing has been claimed: it ends at once.

    But if the signal comes in the very instant before the wait for the answer, Python acts on it
    when that wait is over, after 10 s.
    """
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(30)
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        prefix = unshared() if is_process_1 else []
        pilot = local.start(prefix=prefix, table=["-t", "Table", "--endpoint-url", endpoint])
        connection, _ = nobody.accept()
        os.kill(process_one(pilot) if is_process_1 else pilot.pid, signal.SIGTERM)
        assert pilot.wait(15).code == 143
        connection.close()


# --- A machine that is to be taken away ---------------------------------------------------------


class InstanceMetadata(ThreadingHTTPServer):
    """The instance metadata service, as far as a Spot machine's notice goes (IMDSv2)."""

    notice: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _AnswerMetadata)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked = threading.Event()  # with a token, for the notice


class _AnswerMetadata(BaseHTTPRequestHandler):
    server: InstanceMetadata

    def do_PUT(self) -> None:
        has_ttl = "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self._answer(200 if self.path == "/latest/api/token" and has_ttl else 400, "the-token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "the-token":
            self._answer(401, "")
        elif self.path != "/latest/meta-data/spot/instance-action" or not self.server.notice:
            self.server.asked.set()
            self._answer(404, "")
        else:
            self._answer(200, self.server.notice)

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def instance_metadata() -> Iterator[InstanceMetadata]:
    with InstanceMetadata() as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.shutdown()


def test_a_spot_notice(local: Place) -> None:
    """Nothing more is claimed; 30 s before the machine goes, what runs is given back."""
    local.script("long.sh", "echo $PYANAMO_ITEM_ID >> ran; wait_for go-$PYANAMO_ITEM_ID")
    local.fill({"one": "./long.sh", "two": "./long.sh", "three": "./long.sh"})
    with instance_metadata() as service:
        local.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = service.url
        pilot = local.start("-i", "2", "--spot-notice")
        wait_until(lambda: len(local.lines("ran")) == 2, "two items run")
        wait_until(service.asked.is_set, "it has asked in vain")
        goes_at = time.time() + 37
        date = datetime.fromtimestamp(goes_at, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        service.notice = json.dumps({"action": "terminate", "time": date})
        pilot.wait_for_log("to be taken away")
        first, second = local.lines("ran")
        local.touch(f"go-{first}")
        local.wait_for_state(first, DONE)
        ended = pilot.wait(30)

    assert goes_at - 32 < time.time() < goes_at - 25
    assert ended.code == 0
    assert ended.counts == {"done": 1, "failed": 0, "released": 1, "lost": 0}
    assert_given_back(local, second, reason="this machine is to be taken away")
    (third,) = {"one", "two", "three"} - {first, second}
    assert (local.item(third).state, local.item(third).history) == (TODO, ())


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_spot_notice_in_aws_batch(local: Place, is_taken: bool) -> None:
    """Batch must see the machine go: a pilot that ended before would be a job that has ended."""
    local.script("long.sh", "touch started; wait_for never")
    local.fill({"item": "./long.sh"})
    with instance_metadata() as service:
        local.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = service.url
        local.environment["AWS_BATCH_JOB_ID"] = "0a1b2c3d-1111-2222-3333-444455556666:7"
        pilot = local.start("--spot-notice")
        local.wait_for("started")
        goes_at = datetime.fromtimestamp(time.time() + (20 if is_taken else -620), tz=timezone.utc)
        date = goes_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        service.notice = json.dumps({"action": "terminate", "time": date})
        pilot.wait_for_log("staying until this machine goes")
        assert_given_back(local, "item", reason="this machine is to be taken away")
        if is_taken:
            assert pilot.is_running
            pilot.signal(signal.SIGTERM)  # the last that a container hears
        ended = pilot.wait(10)
    assert ended.code == (143 if is_taken else 0)
    assert ended.counts == {"done": 0, "failed": 0, "released": 1, "lost": 0}


def test_a_machine_without_metadata(local: Place) -> None:
    """It is asked in vain, and harms nobody."""
    local.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:9"
    local.fill({"item": "sleep 1.5"})
    ended = local.run("--spot-notice")
    assert (ended.code, ended.counts["done"]) == (0, 1)


# --- A machine without memory -------------------------------------------------------------------


def test_counting_out_of_memory_kills_in_cgroup_v2(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/system.slice/batch\n")
    events = tmp_path / "fs/system.slice/batch/memory.events"
    events.parent.mkdir(parents=True)
    events.write_text("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 1\n")
    (tmp_path / "fs/memory.events").write_text("oom 9\noom_kill 9\n")  # another group's
    counter = OOMCounter(tmp_path / "fs", membership)
    assert counter.read() == 2
    events.write_text("low 0\nhigh 0\nmax 7\noom 4\noom_kill 3\n")
    assert counter.read() == 3


def test_counting_out_of_memory_kills_in_cgroup_v1(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n")
    control = tmp_path / "fs/memory/docker/abc/memory.oom_control"
    control.parent.mkdir(parents=True)
    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    assert OOMCounter(tmp_path / "fs", membership).read() == 5


@pytest.mark.parametrize("file", ["memory.events", "memory/memory.oom_control"])
def test_counting_out_of_memory_kills_in_a_container(tmp_path: Path, file: str) -> None:
    """It sees its own group as the root, while /proc tells the path that the host knows."""
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/docker/abc\n0::/docker/abc\n")
    counts = tmp_path / "fs" / file
    counts.parent.mkdir(parents=True)
    counts.write_text("oom_kill 4\n")
    assert OOMCounter(tmp_path / "fs", membership).read() == 4


def test_without_cgroups_no_kill_is_counted(tmp_path: Path) -> None:
    assert OOMCounter(tmp_path / "fs", tmp_path / "cgroup").read() == 0


def test_a_task_that_is_killed_for_memory(local: Place) -> None:
    """With control groups that aren't the kernel's: the task itself counts the kill."""
    counts = local.folder / "groups/memory.events"
    counts.parent.mkdir()
    counts.write_text("oom_kill 0\n")
    local.script("large.sh", "echo oom_kill 1 > groups/memory.events; kill -KILL $$")
    mount = 'mount --bind groups /sys/fs/cgroup && exec "$0" "$@"'
    for name, command in (("killed", "bash -c 'kill -KILL $$'"), ("large", "./large.sh")):
        local.fill({name: command})
        pilot = local.start(prefix=[*unshared(), "bash", "-c", mount])
        assert pilot.wait().counts["failed"] == 1

    killed, large = local.item("killed"), local.item("large")
    assert (killed.exit_code, killed.reason) == (137, "killed by signal 9")
    assert (large.exit_code, large.reason) == (137, "killed by signal 9 (out of memory)")


def test_a_worker_that_is_killed_for_memory(local: Place) -> None:
    """With control groups that aren't the kernel's: the task counts the kill, of its worker."""
    counts = local.folder / "groups/memory.events"
    counts.parent.mkdir()
    counts.write_text("oom_kill 3\n")
    local.script("large.sh", "echo oom_kill 4 > groups/memory.events; kill -KILL $PPID; sleep 300")
    local.fill({"large": "./large.sh"})
    mount = 'mount --bind groups /sys/fs/cgroup && exec "$0" "$@"'
    pilot = local.start("--max-attempts", "1", prefix=[*unshared(), "bash", "-c", mount])
    assert pilot.wait().counts["lost"] == 1
    (past,) = local.item("large").history
    assert past.reason == "the worker died while running it (killed by signal 9, out of memory)"


def test_a_kill_for_memory_is_recent_for_a_few_seconds() -> None:
    clock, count = Clock(), 2
    recent = RecentKills(lambda: count, clock)
    assert not recent
    count = 3
    for _ in range(4):
        clock.advance(1)
        recent.look()
        assert recent
    for _ in range(8):
        clock.advance(1)
        recent.look()
    assert not recent


def test_tasks_are_killed_for_memory_before_the_pilot(local: Place) -> None:
    ready = hanging(local, plain=PLAIN)
    pilot = local.start()
    local.wait_for(*ready)

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    worker = local.worker_of("plain")
    (task,) = (process.pid for process in processes() if process.parent == worker)
    wait_until(lambda: score(task) > score(pilot.pid), "the task is the better victim")
    assert score(worker) == score(pilot.pid)
    pilot.signal(signal.SIGTERM)
    pilot.wait()
