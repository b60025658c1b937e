"""What a pilot is: its version, its task scripts, its image and its machine."""

from __future__ import annotations

import json
import logging
import mmap
import os
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException

from pyanamo import __version__
from pyanamo.identity import ec2_instance, runs_in_batch
from pyanamo.pilot.metadata import TOKEN_HEADER, TOKEN_PATH, TTL_HEADER, fetch, machine_service
from pyanamo.text import first_bytes, readable_text

log = logging.getLogger(__name__)

# As `Made_With` has them.
VERSION, ARCHIVE, IMAGE, MACHINE = "PyAnamo", "Archive_SHA256", "Image_ID", "Instance_Type"
ARCHIVE_VARIABLE = "PYANAMO_ARCHIVE_SHA256"  # set by Fetch_and_Run.sh
CONTAINER_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"

ANSWER_SECONDS = 1.0  # the services are on the same machine
KNOWN_SECONDS = 1.0  # after a pilot's start: until then an item that ends waits for the answers
MOST_BYTES = 100  # of each value
_ROOM = 1000  # bytes, for the answers of all services as JSON


class MadeWith:
    """What a pilot is, as far as it is known. Processes that are forked later share it.

    The services are asked in a thread, and nothing waits for it at a pilot's start.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._wait_until = time.monotonic() + KNOWN_SECONDS
        self._own = {VERSION: first_bytes(__version__, MOST_BYTES)}
        archive = environment.get(ARCHIVE_VARIABLE, "").lower()
        if re.fullmatch(r"[0-9a-f]{64}", archive):
            self._own[ARCHIVE] = archive
        self._is_asking = bool(self._container) or self._is_on_ec2
        self._answers = mmap.mmap(-1, _ROOM)  # whether they are known, then JSON

    def ask(self) -> None:
        """Ask the services, if there are any, in a thread. Only one process calls this."""
        if self._is_asking:
            with suppress(RuntimeError):  # there can't be one more thread
                threading.Thread(target=self._ask, daemon=True).start()

    def known(self) -> dict[str, str]:
        """Return what is known; shortly after the start, wait for the answers."""
        while self._is_asking and not self._answers[0] and time.monotonic() < self._wait_until:
            time.sleep(0.01)
        if not self._answers[0]:
            return self._own
        return {**self._own, **json.loads(self._answers[1:].rstrip(b"\0"))}

    def _ask(self) -> None:
        answers = {
            IMAGE: self._image() if self._container else "",
            MACHINE: self._instance_type() if self._is_on_ec2 else "",
        }
        found = {
            name: first_bytes(readable_text(value), MOST_BYTES)
            for name, value in answers.items()
            if value
        }
        text = json.dumps(found, ensure_ascii=False).encode()
        self._answers[1 : 1 + len(text)] = text
        self._answers[0] = 1  # the last, so that nobody reads a part of it
        log.debug("made with %s", {**self._own, **found})

    def _image(self) -> str:
        """The digest of the container's image; empty if it can't be had.

        See Amazon ECS Developer Guide, "Amazon ECS task metadata endpoint version 4".
        """
        with suppress(OSError, ValueError, HTTPException, KeyError, TypeError):
            image = json.loads(fetch(self._container, timeout=ANSWER_SECONDS))["ImageID"]
            return image if isinstance(image, str) else ""
        return ""

    def _instance_type(self) -> str:
        """The type of the EC2 instance; empty if it can't be had.

        See Amazon EC2 User Guide, "Access instance metadata for an EC2 instance" (IMDSv2).
        """
        service = machine_service()
        with suppress(OSError, ValueError, HTTPException):
            url = f"{service}/{TOKEN_PATH}"
            token = fetch(url, method="PUT", headers={TTL_HEADER: "60"}, timeout=ANSWER_SECONDS)
            url = f"{service}/latest/meta-data/instance-type"
            return fetch(url, headers={TOKEN_HEADER: token}, timeout=ANSWER_SECONDS).strip()
        return ""

    @property
    def _container(self) -> str:
        """The address of the service that tells of this container (Amazon ECS)."""
        return self._environment.get(CONTAINER_VARIABLE, "")

    @property
    def _is_on_ec2(self) -> bool:
        """Whether there may be EC2's service. AWS Fargate hasn't one, nor is its machine known."""
        is_off = self._environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        is_fargate = self._environment.get("AWS_EXECUTION_ENV") == "AWS_ECS_FARGATE"
        is_there = runs_in_batch(self._environment) or bool(ec2_instance())
        return is_there and not (is_off or is_fargate)
