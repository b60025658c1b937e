"""Log a Python program's requests to DynamoDB, without changes to the program.

If this folder is on `PYTHONPATH` and `AWS_METER` names a file, each call of a botocore client for
DynamoDB adds a line of JSON to the file, in any process or thread. `benchmarks.metering` reads the
file. Each line has the capacity units of its request. DynamoDB Local, unlike DynamoDB, doesn't
report them for PartiQL statements.

Python imports a module of this name when it starts. Without `AWS_METER` it does nothing.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

FILE = os.environ.get("AWS_METER", "")
READS = {"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"}


def metered(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a client's `_make_api_call`, to log each call."""

    def make_api_call(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if client.meta.service_model.service_name != "dynamodb":
            return call(client, operation, parameters)
        shape = client.meta.service_model.operation_model(operation).input_shape
        if shape is not None and "ReturnConsumedCapacity" in shape.members:
            parameters = {**parameters, "ReturnConsumedCapacity": "TOTAL"}
        line: dict[str, Any] = {"operation": operation, "pid": os.getpid()}
        started = time.perf_counter()
        answer: dict[str, Any] = {}
        try:
            answer = call(client, operation, parameters)
            return answer
        except BaseException as error:
            answer = getattr(error, "response", None) or {}
            code = answer.get("Error", {}).get("Code")
            line["error"] = code or type(error).__name__
            raise
        finally:
            line["milliseconds"] = round(1000 * (time.perf_counter() - started), 3)
            line["at"] = round(time.time(), 4)
            line["tries"] = 1 + answer.get("ResponseMetadata", {}).get("RetryAttempts", 0)
            line["reads" if operation in READS else "writes"] = units_of(answer)
            append(line)

    return make_api_call


def units_of(answer: dict[str, Any]) -> float:
    """Return the units of an answer, including indexes; a batch has one part per table."""
    consumed = answer.get("ConsumedCapacity") or []
    parts = consumed if isinstance(consumed, list) else [consumed]
    return float(sum(part.get("CapacityUnits", 0.0) for part in parts))


def append(line: dict[str, Any]) -> None:
    """Add a line to the file, in a single write, so that lines don't mix."""
    file = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


class _Loader(importlib.abc.Loader):
    """Loads botocore.client, then wraps its method."""

    def __init__(self, inner: importlib.abc.Loader) -> None:
        self._inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        client = vars(module)["BaseClient"]
        client._make_api_call = metered(client._make_api_call)


class _Finder(importlib.abc.MetaPathFinder):
    """Waits for the import of botocore.client; other programs don't load it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "botocore.client":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


if FILE:
    sys.meta_path.insert(0, _Finder())
