"""What a DynamoDB table may take a second, and who decides it.

A table is billed by the request (on-demand), or for read and write units that are provisioned: a
number that somebody set, or one that Application Auto Scaling moves between two bounds. The index
has units of its own, and every write to an item is one to the index too: it gets what the table
gets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from pyanamo.aws import Client, make_client, translated_errors
from pyanamo.errors import PyAnamoError, StoreUnavailable, UsageError
from pyanamo.tables.attributes import INDEX

# A switch of billing takes some minutes (Amazon DynamoDB Developer Guide, "Considerations when
# switching capacity modes").
WAIT_SECONDS = 30 * 60.0
POLL_SECONDS = 2.0

# Amazon DynamoDB Developer Guide, "Managing throughput capacity automatically".
LEAST_TARGET, MOST_TARGET = 20, 90

# The advice on a `LimitExceededException`, from the same guide's "Considerations when switching
# capacity modes" and "Service, account, and table quotas".
SWITCH_ADVICE = "a table can be switched to on-demand four times in 24 hours: try again later"
LOWER_ADVICE = "units can be lowered only so many times a day and an hour: try again in an hour"

_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_POLICY = "PyAnamo-{}"
_METRICS = {
    "ReadCapacityUnits": "DynamoDBReadCapacityUtilization",
    "WriteCapacityUnits": "DynamoDBWriteCapacityUtilization",
}


class Billing(str, Enum):
    """What a table is paid by."""

    ON_DEMAND = "on-demand"  # the request
    PROVISIONED = "provisioned"  # the hour and unit


@dataclass(frozen=True, kw_only=True, slots=True)
class Units:
    """What may be read and written a second: 4 KB and 1 KB a unit. None of it when on-demand."""

    read: int = 0
    write: int = 0

    def attribute(self) -> dict[str, int]:
        """As DynamoDB's `ProvisionedThroughput`."""
        return {"ReadCapacityUnits": self.read, "WriteCapacityUnits": self.write}

    def within(self, least: int, most: int) -> Units:
        """The nearest to these that has both its numbers between two bounds."""
        return Units(read=min(max(self.read, least), most), write=min(max(self.write, least), most))


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """The bounds between which Application Auto Scaling moves a number of units."""

    minimum: int
    maximum: int
    target_percent: float | None  # of the units that is to be in use; None where no policy says


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """What a table or an index may take."""

    units: Units
    read_scaling: Scaling | None = None  # None: the units stay as they are
    write_scaling: Scaling | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What a table and its index may take."""

    billing: Billing
    table: Throughput
    index: Throughput


@dataclass(frozen=True, slots=True)
class _Dimension:
    """One of the four numbers that can be scaled."""

    resource: str  # table/NAME, or table/NAME/index/ItemStateIndex
    kind: str  # dynamodb:table:ReadCapacityUnits and so on

    def arguments(self) -> dict[str, str]:
        """What requests to Application Auto Scaling call it."""
        return {
            "ServiceNamespace": "dynamodb",
            "ResourceId": self.resource,
            "ScalableDimension": self.kind,
        }

    @property
    def metric(self) -> str:
        return _METRICS[self.kind.rpartition(":")[2]]


class TableCapacity:
    """The capacity of one table and its index, to look at and to change.

    The three `set_...` verbs wait until the change has been made, and do nothing where there is
    nothing to change. They can be called again after an error, and then go on where they stopped.
    All verbs raise `TableNotFound`, `AccessDenied` or `StoreUnavailable` (see `pyanamo.errors`).
    """

    def __init__(
        self,
        name: str,
        *,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
        client: Client | None = None,
        scaling_client: Client | None = None,
    ) -> None:
        """`endpoint_url` is DynamoDB's; the clients are for tests that fake their answers."""
        self.name = name
        self._clock = clock
        self._wait = wait
        self._client = client or make_client(
            "dynamodb", region=region, profile=profile, endpoint_url=endpoint_url
        )
        self._scaler = scaling_client or make_client(
            "application-autoscaling", region=region, profile=profile
        )
        table, index = f"table/{name}", f"table/{name}/index/{INDEX}"
        self._dimensions = tuple(
            _Dimension(resource, f"dynamodb:{kind}:{units}")
            for resource, kind in ((table, "table"), (index, "index"))
            for units in _METRICS
        )

    def describe(self) -> Capacity:
        """The capacity as it is now. While a change is being made, it may be that before it."""
        description = self._description()
        if _billing(description) is Billing.ON_DEMAND:
            none = Throughput(units=Units())
            return Capacity(billing=Billing.ON_DEMAND, table=none, index=none)
        table, index = _provisioned(description)
        scaled = list(map(self._scalings().get, self._dimensions))
        return Capacity(
            billing=Billing.PROVISIONED,
            table=Throughput(units=table, read_scaling=scaled[0], write_scaling=scaled[1]),
            index=Throughput(units=index, read_scaling=scaled[2], write_scaling=scaled[3]),
        )

    def set_on_demand(self) -> None:
        """Bill by the request; nothing is scaled any more."""
        description = self._settled()
        if _billing(description) is Billing.ON_DEMAND:
            return
        # First, since the targets would outlive the switch and come into force again after the
        # next one ("Considerations when switching capacity modes").
        self.remove_scaling()
        self._update({"BillingMode": "PAY_PER_REQUEST"}, SWITCH_ADVICE)
        self._settled(lambda now: _billing(now) is Billing.ON_DEMAND)

    def set_provisioned(self, *, read: int, write: int) -> None:
        """Provision so many units, for the table and for its index; nothing is scaled any more.

        Raises `UsageError` for units below 1.
        """
        if read < 1 or write < 1:
            raise UsageError(f"read {read}, write {write}: a table needs at least 1 unit of each")
        description = self._settled()
        self.remove_scaling()
        units = Units(read=read, write=write)
        self._provision(description, table=units, index=units)

    def set_autoscaling(self, *, minimum: int, maximum: int, target_percent: float) -> None:
        """Let units move between two bounds, with `target_percent` of them in use.

        That goes for reads and writes, of the table and of its index. Units start where they are,
        or at `minimum` when the table was on-demand.

        Raises `UsageError` for bounds or a target that can't be, and for a DynamoDB that has
        nobody to scale it.
        """
        scaling = Scaling(minimum=minimum, maximum=maximum, target_percent=target_percent)
        check_scaling(scaling)
        if not self._can_scale():
            raise UsageError(
                f"table {self.name!r} at {self._client.meta.endpoint_url} can't be scaled: "
                "only AWS's own DynamoDB is; give it units instead"
            )
        description = self._settled()
        # To register a target brings units within its bounds, but not while those of another
        # are being changed (Application Auto Scaling API Reference, "RegisterScalableTarget").
        table, index = _provisioned(description)
        self._provision(
            description,
            table=table.within(minimum, maximum),
            index=index.within(minimum, maximum),
        )
        for dimension in self._dimensions:
            self._scale(dimension, scaling)

    def remove_scaling(self) -> None:
        """Have nothing scaled; units stay as they are. To be called for a dropped table too.

        AWS keeps what it was told to scale when a table is deleted ("Managing throughput capacity
        automatically"), for the next table of that name.
        """
        if not self._can_scale():
            return
        for dimension in self._targets():
            gone_meanwhile = self._scaler.exceptions.ObjectNotFoundException
            with self._scaling_errors(), suppress(gone_meanwhile):
                self._scaler.deregister_scalable_target(**dimension.arguments())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._scaler.close()

    def _provision(self, description: Mapping[str, Any], *, table: Units, index: Units) -> None:
        """Change what differs, since DynamoDB refuses a change that changes nothing; wait."""
        # On-demand, units are told too: 0, but DynamoDB Local remembers what an index last had.
        changes: dict[str, Any] = {}
        if _billing(description) is Billing.ON_DEMAND:
            changes["BillingMode"] = "PROVISIONED"
        if table != _units(description):
            changes["ProvisionedThroughput"] = table.attribute()
        if index != _units(_index(description)):
            update = {"IndexName": INDEX, "ProvisionedThroughput": index.attribute()}
            changes["GlobalSecondaryIndexUpdates"] = [{"Update": update}]
        if changes:
            self._update(changes, LOWER_ADVICE)
            self._settled(lambda now: _provisioned(now) == (table, index))

    def _update(self, changes: Mapping[str, Any], advice: str) -> None:
        with self._errors(), self._refusals(advice):
            self._client.update_table(TableName=self.name, **changes)

    @contextmanager
    def _refusals(self, advice: str) -> Iterator[None]:
        """What DynamoDB refuses for now, with what to do about it."""
        known = self._client.exceptions
        try:
            yield
        except known.LimitExceededException as error:
            message = error.response["Error"].get("Message", "")
            raise PyAnamoError(
                f"table {self.name!r} can't be changed now: {advice}. DynamoDB says: {message}"
            ) from error
        except known.ResourceInUseException as error:
            raise StoreUnavailable(
                f"table {self.name!r} is being changed by somebody else: try again in a minute"
            ) from error

    def _settled(
        self, is_done: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> Mapping[str, Any]:
        """Wait until nothing is being changed and, as answers may be old ones, `is_done`."""
        deadline = self._clock() + WAIT_SECONDS
        while not (_is_active(description := self._description()) and is_done(description)):
            if self._clock() >= deadline:
                raise StoreUnavailable(
                    f"table {self.name!r} is still {description['TableStatus']} after "
                    f"{WAIT_SECONDS / 60:.0f} minutes: DynamoDB goes on by itself; look again later"
                )
            self._wait(POLL_SECONDS)
        return description

    def _description(self) -> Mapping[str, Any]:
        with self._errors():
            answer = self._client.describe_table(TableName=self.name)
        description: Mapping[str, Any] = answer["Table"]
        if _index(description) is None:
            raise PyAnamoError(f"table {self.name!r} is not PyAnamo's: it has no index {INDEX!r}")
        return description

    def _can_scale(self) -> bool:
        """Whether the two clients speak of the same tables.

        AWS's Application Auto Scaling knows nothing of a DynamoDB that is elsewhere, and mustn't
        scale a table of AWS that happens to have the same name.
        """
        return _is_aws(self._client) or not _is_aws(self._scaler)

    def _targets(self) -> dict[_Dimension, Mapping[str, Any]]:
        """What is scaled of this table and its index."""
        paginator = self._scaler.get_paginator("describe_scalable_targets")
        resources = list(dict.fromkeys(dimension.resource for dimension in self._dimensions))
        with self._scaling_errors():
            pages = paginator.paginate(ServiceNamespace="dynamodb", ResourceIds=resources)
            targets = [target for page in pages for target in page["ScalableTargets"]]
        return {
            _Dimension(target["ResourceId"], target["ScalableDimension"]): target
            for target in targets
        }

    def _scalings(self) -> dict[_Dimension, Scaling]:
        """What is scaled, and how."""
        if not self._can_scale():
            return {}
        return {
            dimension: Scaling(
                minimum=target["MinCapacity"],
                maximum=target["MaxCapacity"],
                target_percent=_target_percent(self._policy(dimension)),
            )
            for dimension, target in self._targets().items()
        }

    def _policy(self, dimension: _Dimension) -> Mapping[str, Any] | None:
        """The policy by which AWS moves this number, whoever made it."""
        paginator = self._scaler.get_paginator("describe_scaling_policies")
        with self._scaling_errors():
            for page in paginator.paginate(**dimension.arguments()):
                for policy in page["ScalingPolicies"]:
                    if policy["PolicyType"] == "TargetTrackingScaling":
                        found: Mapping[str, Any] = policy
                        return found
        return None

    def _scale(self, dimension: _Dimension, scaling: Scaling) -> None:
        """Have one number scaled, in place of how it was before."""
        # AWS takes one policy a metric: another one's, say the console's, is changed.
        policy = self._policy(dimension)
        name = policy["PolicyName"] if policy else _POLICY.format(dimension.metric)
        with self._scaling_errors():
            self._scaler.register_scalable_target(
                **dimension.arguments(),
                MinCapacity=scaling.minimum,
                MaxCapacity=scaling.maximum,
            )
            self._scaler.put_scaling_policy(
                **dimension.arguments(),
                PolicyName=name,
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration={
                    "TargetValue": scaling.target_percent,
                    "PredefinedMetricSpecification": {"PredefinedMetricType": dimension.metric},
                },
            )

    def _errors(self) -> AbstractContextManager[None]:
        return translated_errors(self._client, f"table {self.name!r}")

    def _scaling_errors(self) -> AbstractContextManager[None]:
        return translated_errors(self._scaler, f"the scaling of table {self.name!r}")


def check_scaling(scaling: Scaling) -> None:
    """Raise `UsageError` for bounds or a target that AWS would refuse."""
    if not 1 <= scaling.minimum <= scaling.maximum:
        raise UsageError(
            f"units can't be scaled between {scaling.minimum} and {scaling.maximum}: "
            "the first must be at least 1, and the second no less"
        )
    if scaling.target_percent is None or not LEAST_TARGET <= scaling.target_percent <= MOST_TARGET:
        raise UsageError(
            f"a target of {scaling.target_percent}% can't be: "
            f"it must be from {LEAST_TARGET} to {MOST_TARGET}"
        )


def _billing(description: Mapping[str, Any]) -> Billing:
    """A table that was never on-demand may have no summary (`BillingModeSummary`)."""
    mode = description.get("BillingModeSummary", {}).get("BillingMode")
    return Billing.ON_DEMAND if mode == "PAY_PER_REQUEST" else Billing.PROVISIONED


def _provisioned(description: Mapping[str, Any]) -> tuple[Units, Units]:
    """The units of the table and of its index; none when it is on-demand, whatever it tells."""
    if _billing(description) is Billing.ON_DEMAND:
        return Units(), Units()
    return _units(description), _units(_index(description))


def _units(description: Mapping[str, Any]) -> Units:
    """Of a table, or of an index, by its description."""
    throughput = description["ProvisionedThroughput"]
    return Units(read=throughput["ReadCapacityUnits"], write=throughput["WriteCapacityUnits"])


def _index(description: Mapping[str, Any]) -> Any:
    """The description of the index in a table's, or None."""
    indexes = description.get("GlobalSecondaryIndexes", ())
    return next((index for index in indexes if index["IndexName"] == INDEX), None)


def _is_active(description: Mapping[str, Any]) -> bool:
    states = (description["TableStatus"], _index(description)["IndexStatus"])
    return states == ("ACTIVE", "ACTIVE")


def _target_percent(policy: Mapping[str, Any] | None) -> float | None:
    if policy is None:
        return None
    percent: float = policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
    return percent


def _is_aws(client: Client) -> bool:
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith(_AWS_DOMAINS)
