"""Application Auto Scaling, which moves the units of a DynamoDB table and its index."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pyanamo.aws import Client, translated_errors
from pyanamo.tables.attributes import INDEX
from pyanamo.tables.dynamodb.units import Scaling

_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_POLICY = "PyAnamo-{}"
_METRICS = {
    "ReadCapacityUnits": "DynamoDBReadCapacityUtilization",
    "WriteCapacityUnits": "DynamoDBWriteCapacityUtilization",
}


@dataclass(frozen=True, slots=True)
class _Dimension:
    """One of the four numbers that can be scaled."""

    resource: str  # table/NAME, or table/NAME/index/ItemStateIndex
    kind: str  # dynamodb:table:ReadCapacityUnits and so on

    def arguments(self) -> dict[str, str]:
        """Return the arguments that identify it in requests to Application Auto Scaling."""
        return {
            "ServiceNamespace": "dynamodb",
            "ResourceId": self.resource,
            "ScalableDimension": self.kind,
        }

    @property
    def metric(self) -> str:
        return _METRICS[self.kind.rpartition(":")[2]]


class TableScaling:
    """How the reads and writes of one table and its index are scaled.

    All verbs raise `AccessDenied` or `StoreUnavailable` (see `pyanamo.errors`).
    """

    def __init__(self, name: str, client: Client, dynamodb: Client) -> None:
        """`client` is for Application Auto Scaling, `dynamodb` is the table's."""
        self._name = name
        self._client = client
        self._dynamodb = dynamodb
        table, index = f"table/{name}", f"table/{name}/index/{INDEX}"
        self._dimensions = tuple(
            _Dimension(resource, f"dynamodb:{kind}:{units}")
            for resource, kind in ((table, "table"), (index, "index"))
            for units in _METRICS
        )

    @property
    def is_possible(self) -> bool:
        """Whether both clients know the same tables.

        AWS's Application Auto Scaling doesn't know a DynamoDB elsewhere, and must not scale a
        table in AWS that happens to have the same name.
        """
        return _is_aws(self._dynamodb) or not _is_aws(self._client)

    def describe(self) -> list[Scaling | None]:
        """Return the scaling of the table's reads and writes, and of the index's, or None."""
        targets = self._targets() if self.is_possible else {}
        return [
            self._scaling(dimension, targets[dimension]) if dimension in targets else None
            for dimension in self._dimensions
        ]

    def set(self, scaling: Scaling) -> None:
        """Scale all four numbers, whether they were scaled before or not."""
        for dimension in self._dimensions:
            self._scale(dimension, scaling)

    def remove(self) -> None:
        """Stop all scaling; units stay as they are. Call it after a table is dropped, too.

        AWS keeps the scaling of a deleted table, and applies it to the next table of that name
        ("Managing throughput capacity automatically").
        """
        if not self.is_possible:
            return
        for dimension in self._targets():
            gone_meanwhile = self._client.exceptions.ObjectNotFoundException
            with self._errors(), suppress(gone_meanwhile):
                self._client.deregister_scalable_target(**dimension.arguments())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _targets(self) -> dict[_Dimension, Mapping[str, Any]]:
        """Return the scalable targets of this table and its index."""
        paginator = self._client.get_paginator("describe_scalable_targets")
        resources = list(dict.fromkeys(dimension.resource for dimension in self._dimensions))
        with self._errors():
            pages = paginator.paginate(ServiceNamespace="dynamodb", ResourceIds=resources)
            targets = [target for page in pages for target in page["ScalableTargets"]]
        return {
            _Dimension(target["ResourceId"], target["ScalableDimension"]): target
            for target in targets
        }

    def _scaling(self, dimension: _Dimension, target: Mapping[str, Any]) -> Scaling:
        return Scaling(
            minimum=target["MinCapacity"],
            maximum=target["MaxCapacity"],
            target_percent=_target_percent(self._policy(dimension)),
        )

    def _policy(self, dimension: _Dimension) -> Mapping[str, Any] | None:
        """Return the policy by which AWS scales this number, whoever made it."""
        paginator = self._client.get_paginator("describe_scaling_policies")
        with self._errors():
            for page in paginator.paginate(**dimension.arguments()):
                for policy in page["ScalingPolicies"]:
                    if policy["PolicyType"] == "TargetTrackingScaling":
                        found: Mapping[str, Any] = policy
                        return found
        return None

    def _scale(self, dimension: _Dimension, scaling: Scaling) -> None:
        """Scale one number, whether it was scaled before or not."""
        # AWS allows one policy per metric: one that the console made, for example, is changed.
        policy = self._policy(dimension)
        name = policy["PolicyName"] if policy else _POLICY.format(dimension.metric)
        with self._errors():
            self._client.register_scalable_target(
                **dimension.arguments(),
                MinCapacity=scaling.minimum,
                MaxCapacity=scaling.maximum,
            )
            self._client.put_scaling_policy(
                **dimension.arguments(),
                PolicyName=name,
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration={
                    "TargetValue": scaling.target_percent,
                    "PredefinedMetricSpecification": {"PredefinedMetricType": dimension.metric},
                },
            )

    def _errors(self) -> AbstractContextManager[None]:
        return translated_errors(self._client, f"the scaling of table {self._name!r}")


def _target_percent(policy: Mapping[str, Any] | None) -> float | None:
    if policy is None:
        return None
    percent: float = policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
    return percent


def _is_aws(client: Client) -> bool:
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith(_AWS_DOMAINS)
