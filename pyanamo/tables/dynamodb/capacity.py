"""Look at the capacity of a DynamoDB table, and change it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pyanamo.account import Account
from pyanamo.aws import Client, make_client, translated_errors
from pyanamo.errors import PyAnamoError, StoreUnavailable, UsageError
from pyanamo.tables.attributes import INDEX
from pyanamo.tables.dynamodb.definition import require_own_table
from pyanamo.tables.dynamodb.scaling import TableScaling
from pyanamo.tables.dynamodb.units import (
    Billing,
    Capacity,
    Scaling,
    Throughput,
    Units,
    check_scaling,
)

# A switch of billing takes some minutes (Amazon DynamoDB Developer Guide, "Considerations when
# switching capacity modes").
WAIT_SECONDS = 30 * 60.0
POLL_SECONDS = 2.0

# The advice on a `LimitExceededException`, from the same guide's "Considerations when switching
# capacity modes" and "Service, account, and table quotas".
SWITCH_ADVICE = "a table can be switched to on-demand four times in 24 hours: try again later"
LOWER_ADVICE = "units can be lowered only so many times a day and an hour: try again in an hour"


class TableCapacity:
    """The capacity of one table and its index.

    The three `set_...` verbs wait until the change has been made, and do nothing if there is
    nothing to change. If called again after an error, they go on where they stopped.
    All verbs raise `TableNotFound`, `AccessDenied` or `StoreUnavailable` (see `pyanamo.errors`).
    """

    def __init__(
        self,
        name: str,
        account: Account = Account(),
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
        client: Client | None = None,
        scaling_client: Client | None = None,
    ) -> None:
        """Only tests that fake answers pass clients."""
        self.name = name
        self._clock = clock
        self._wait = wait
        self._client = client or make_client("dynamodb", account)
        scaling_client = scaling_client or make_client("application-autoscaling", account)
        self._scaling = TableScaling(name, scaling_client, self._client)

    def describe(self) -> Capacity:
        """Return the capacity as it is now. During a change, it may be the one before it."""
        description = self._description()
        if _billing(description) is Billing.ON_DEMAND:
            none = Throughput(units=Units())
            return Capacity(billing=Billing.ON_DEMAND, table=none, index=none)
        table, index = _provisioned(description)
        table_read, table_write, index_read, index_write = self._scaling.describe()
        return Capacity(
            billing=Billing.PROVISIONED,
            table=Throughput(units=table, read_scaling=table_read, write_scaling=table_write),
            index=Throughput(units=index, read_scaling=index_read, write_scaling=index_write),
        )

    def set_on_demand(self) -> None:
        """Bill per request, and stop all scaling."""
        description = self._settled()
        if _billing(description) is Billing.ON_DEMAND:
            return
        # First, since the targets would outlive the switch, and apply again after the next one
        # ("Considerations when switching capacity modes").
        self._scaling.remove()
        self._update({"BillingMode": "PAY_PER_REQUEST"}, SWITCH_ADVICE)
        self._settled(lambda now: _billing(now) is Billing.ON_DEMAND)

    def set_provisioned(self, *, read: int, write: int) -> None:
        """Provision these units, for the table and for its index, and stop all scaling.

        Raises `UsageError` for less than 1 unit.
        """
        if read < 1 or write < 1:
            raise UsageError(f"read {read}, write {write}: a table needs at least 1 unit of each")
        description = self._settled()
        self._scaling.remove()
        units = Units(read=read, write=write)
        self._provision(description, table=units, index=units)

    def set_autoscaling(self, *, minimum: int, maximum: int, target_percent: float) -> None:
        """Scale units between two bounds, so that `target_percent` of them are in use.

        This applies to the reads and writes of the table and of its index. Units start as they
        are, or at `minimum` if the table was on-demand.

        Raises `UsageError` for bounds or a target that AWS would refuse, and for a DynamoDB other
        than AWS's.
        """
        scaling = Scaling(minimum=minimum, maximum=maximum, target_percent=target_percent)
        check_scaling(scaling)
        if not self._scaling.is_possible:
            raise UsageError(
                f"table {self.name!r} at {self._client.meta.endpoint_url} can't be scaled: "
                "only AWS's own DynamoDB is; give it units instead"
            )
        description = self._settled()
        # Registering a target brings its units within the bounds, but not while the units of
        # another are being changed (Application Auto Scaling API Reference,
        # "RegisterScalableTarget"). So all units are brought within the bounds first.
        table, index = _provisioned(description)
        self._provision(
            description,
            table=table.within(minimum, maximum),
            index=index.within(minimum, maximum),
        )
        self._scaling.set(scaling)

    def remove_scaling(self) -> None:
        """Stop all scaling; units stay as they are. Call it after a table is dropped, too."""
        self._scaling.remove()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._scaling.close()

    def _provision(self, description: Mapping[str, Any], *, table: Units, index: Units) -> None:
        """Change only what differs, as DynamoDB requires, and wait until it is done."""
        # An on-demand table shows 0 units, but its index in DynamoDB Local shows its last ones.
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
        """Turn what DynamoDB refuses for now into errors that say what to do."""
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
        """Wait until nothing is being changed, and `is_done`, as descriptions may be old."""
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
        require_own_table(self.name, description)
        return description

    def _errors(self) -> AbstractContextManager[None]:
        return translated_errors(self._client, f"table {self.name!r}")


def _billing(description: Mapping[str, Any]) -> Billing:
    """Return how a table is billed. `BillingModeSummary` is missing if it never was on-demand."""
    mode = description.get("BillingModeSummary", {}).get("BillingMode")
    return Billing.ON_DEMAND if mode == "PAY_PER_REQUEST" else Billing.PROVISIONED


def _provisioned(description: Mapping[str, Any]) -> tuple[Units, Units]:
    """Return the units of the table and of its index; always 0 if on-demand."""
    if _billing(description) is Billing.ON_DEMAND:
        return Units(), Units()
    return _units(description), _units(_index(description))


def _units(description: Mapping[str, Any]) -> Units:
    """Return the units in the description of a table or of an index."""
    throughput = description["ProvisionedThroughput"]
    return Units(read=throughput["ReadCapacityUnits"], write=throughput["WriteCapacityUnits"])


def _index(description: Mapping[str, Any]) -> Any:
    """Return the description of the index within a table's, or None."""
    indexes = description.get("GlobalSecondaryIndexes", ())
    return next((index for index in indexes if index["IndexName"] == INDEX), None)


def _is_active(description: Mapping[str, Any]) -> bool:
    states = (description["TableStatus"], _index(description)["IndexStatus"])
    return states == ("ACTIVE", "ACTIVE")
