"""The command that starts pilots in AWS Batch."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from contextlib import closing

from pyanamo.batch.submission import (
    PilotJob,
    Submitted,
    array_sizes,
    left_in,
    require_hosted,
)
from pyanamo.cli import say, store_of
from pyanamo.console.arguments import Commands, add_command
from pyanamo.console.screen import counted, json_error, print_json, print_table
from pyanamo.console.submit_flags import (
    add_job_flags,
    add_pilot_flags,
    job_of,
    table_of,
)
from pyanamo.errors import OutputError, PyAnamoError, StoreUnavailable
from pyanamo.signals import exit_code, stop_signals, when_set
from pyanamo.tables import Store

STOPPING = "stopping after the current request; a second signal stops at once"


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    submit = add_command(
        commands,
        "submit",
        run_submit,
        "start pilots in AWS Batch",
        "submit -t Align --queue Pilots --job-definition Pilot -i 4 -w 2h -- --retries 1",
        several="",
    )
    submit.add_argument(
        "flags",
        nargs="*",
        metavar="-- FLAG",
        help="more flags for the pilots (see the pilot's --help)",
    )
    add_job_flags(submit.add_argument_group("jobs"))
    add_pilot_flags(submit.add_argument_group("pilots (default: as the job definition says)"))
    submit.add_argument(
        "--dry-run", action="store_true", help="only show what would be sent to AWS Batch"
    )


def run_submit(arguments: argparse.Namespace) -> int:
    """Start pilots."""
    table = table_of(arguments)
    store = store_of(arguments)
    require_hosted(store, table)
    job = job_of(arguments, store, table)
    sizes = array_sizes(_pilots(arguments, store, table))
    if arguments.dry_run:
        _print_dry_run(job, sizes, _image(job, store), as_json=arguments.json)
        return 0
    if sizes:
        return _submit(job, sizes, store, as_json=arguments.json)
    if arguments.json:
        _print_submitted([], sizes)
    return 0


def _pilots(arguments: argparse.Namespace, store: Store, name: str) -> int:
    """How many pilots to start. Raises an error if the table isn't there."""
    table = store.open(name, on_damaged=arguments.damage)
    try:
        store.check(table)
        if arguments.pilots is not None:
            pilots: int = arguments.pilots
            return pilots
        left = left_in(table)
    finally:
        table.close()
    wanted = left.pilots(arguments.items or 1)
    pilots = min(wanted, arguments.most)
    found = f"{name}: {left.todo} todo"
    if left.lost:
        found += f", {left.lost} locked with an expired lease"
    if left.busy:
        found += f", {left.busy} held by pilots"
    if not pilots:
        say(f"{found}: no work for more pilots, so none is submitted")
        return 0
    each = f"{counted(arguments.items)} at a time" if arguments.items else "1 item each (no -i)"
    limit = f", of which {pilots} are submitted (--most)" if pilots < wanted else ""
    say(f"{found}; {each}: {_pilots_text(wanted)}{limit}")
    return pilots


def _submit(job: PilotJob, sizes: Sequence[int], store: Store, *, as_json: bool) -> int:
    """Submit one job after another, and print each id as soon as it is known; the exit code."""
    from pyanamo.batch.jobs import Jobs

    submitted: list[Submitted] = []
    jobs = Jobs(store.account)
    try:
        with stop_signals() as stop, when_set(stop, lambda: say(STOPPING)):
            for size in sizes:
                if stop:
                    break
                submitted.append(Submitted(job_id=jobs.submit(job.request(size)), pilots=size))
                if not as_json:
                    _print_id(submitted[-1].job_id)
    except PyAnamoError as error:
        parts = [str(error)]
        if isinstance(error, StoreUnavailable):
            parts.append("the job whose request got no answer may have been submitted")
        if submitted:
            parts.append(_told(submitted, sizes))
        whole = PyAnamoError("; ".join(parts))
        if as_json:
            _print_submitted(submitted, sizes, error=json_error(whole))
        raise whole from error
    finally:
        jobs.close()
    if as_json:
        _print_submitted(submitted, sizes)
    say(_told(submitted, sizes))
    is_whole = len(submitted) == len(sizes)
    return 0 if is_whole or stop.signal is None else exit_code(stop.signal)


def _print_id(job_id: str) -> None:
    try:
        print(job_id, flush=True)
    except (OutputError, OSError) as error:  # the disk is full, or the reader has gone
        raise PyAnamoError(
            f"job {job_id} was submitted, but its id can't be printed: {error}"
        ) from error


def _told(submitted: Sequence[Submitted], sizes: Sequence[int]) -> str:
    """Say what was submitted and what wasn't."""
    if not submitted:
        return "nothing was submitted"
    done = f"submitted {_jobs_text([job.pilots for job in submitted])}"
    rest = sizes[len(submitted) :]
    return f"{done}; not submitted: {_jobs_text(rest)}" if rest else done


def _jobs_text(sizes: Sequence[int]) -> str:
    """`a job with 1 pilot`, `an array job with 20 pilots`, `3 array jobs with 25000 pilots`."""
    if len(sizes) > 1:
        return f"{len(sizes)} array jobs with {_pilots_text(sum(sizes))}"
    return f"{'an array job' if sizes[0] > 1 else 'a job'} with {_pilots_text(sizes[0])}"


def _pilots_text(pilots: int) -> str:
    return "1 pilot" if pilots == 1 else f"{pilots} pilots"


def _print_submitted(submitted: Sequence[Submitted], sizes: Sequence[int], **error: str) -> None:
    print_json("submit", jobs=submitted, not_submitted=sum(sizes[len(submitted) :]), **error)


def _image(job: PilotJob, store: Store) -> str:
    """The image that the pilots would run; why it isn't known, if Batch doesn't say."""
    from pyanamo.batch.jobs import Jobs

    try:
        with closing(Jobs(store.account)) as jobs:
            image = jobs.image_of(job.definition)
    except PyAnamoError as error:
        return f"unknown: {error}"
    if image and "@" not in image:
        say(f"image {image} has no digest: what it names may change while pilots start")
    return image or "unknown: there is no such job definition"


def _print_dry_run(job: PilotJob, sizes: Sequence[int], image: str, *, as_json: bool) -> None:
    if as_json:
        requests = [job.request(size) for size in sizes]
        print_json("submit", dry_run=True, image=image, requests=requests)
        return
    if not sizes:
        return
    rows = [("Jobs", _jobs_text(sizes))]
    if len(sizes) > 1:
        rows.append(("Array_Sizes", ", ".join(map(str, sizes))))
    rows += [
        ("Name", job.name),
        ("Queue", job.queue),
        ("Job_Definition", job.definition),
        ("Image", image),
        *(("Environment", f"{name}={value}") for name, value in job.environment.items()),
        ("Command", shlex.join(job.command) or "the job definition's"),
    ]
    print_table(("What", "Value"), rows)
