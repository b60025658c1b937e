"""A simulator of AWS IAM: whether policies allow a request, resources and conditions included.

It is `@cloud-copilot/iam-simulate`, which `make tools` installs, in a process of Node.js. It also
refuses a policy, an action or a resource that AWS doesn't know.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.tools import NPM_PROJECT, SIMULATOR


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asks AWS for, as IAM sees it."""

    action: str  # dynamodb:UpdateItem
    resource: str  # an ARN, or *
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)  # condition keys


class Simulator:
    """Judges requests, one at a time; threads may share it. The process ends with this one."""

    def __init__(self) -> None:
        if not SIMULATOR.is_dir():
            raise RuntimeError(f"the simulator of IAM is not in {SIMULATOR}: run make tools")
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            ["node", str(NPM_PROJECT / "simulate.cjs"), str(SIMULATOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def allows(
        self, request: Request, policies: Sequence[Mapping[str, Any]], principal: str
    ) -> bool:
        """Whether the policies of somebody, an ARN, allow a request."""
        asked = {
            "principal": principal,
            "account": principal.split(":")[4],
            "action": request.action,
            "resource": request.resource,
            "context": dict(request.context),
            "policies": list(policies),
        }
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with self._lock:
            process.stdin.write(f"{json.dumps(asked)}\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
        assert "error" not in answer, f"{asked}: {answer['error']}"
        return bool(answer["result"] == "Allowed")

    def close(self) -> None:
        """End the process."""
        with self._process:  # closes its stdin, and waits
            pass
