"""Changes of a table's capacity that DynamoDB Local doesn't make: waited for, limited, refused."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pyanamo.account import Account
from pyanamo.errors import AccessDenied, PyAnamoError, StoreUnavailable, TableNotFound
from pyanamo.tables.dynamodb.capacity import WAIT_SECONDS, TableCapacity
from pyanamo.tables.dynamodb.definition import table_definition
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.tables.dynamodb.units import Billing, Units
from tests.support.backends import Clock


def description(
    *, billing: Billing, units: int = 0, table: str = "ACTIVE", index: str = "ACTIVE"
) -> dict[str, Any]:
    """What DescribeTable answers."""
    answer = table_definition("Example_Table", Units(read=units, write=units))
    del answer["BillingMode"]
    answer["TableStatus"] = table
    answer["GlobalSecondaryIndexes"][0]["IndexStatus"] = index
    if billing is Billing.ON_DEMAND:  # without a summary, the table never was
        answer["BillingModeSummary"] = {
            "BillingMode": "PAY_PER_REQUEST",
            "LastUpdateToPayPerRequestDateTime": datetime(2024, 1, 1),
        }
    return {"Table": answer}


@pytest.fixture
def stub() -> Iterator[Stubber]:
    """A DynamoDB that answers as it is told, beside a service that scales nothing of it."""
    with Stubber(boto3.client("dynamodb", endpoint_url="http://127.0.0.1:1")) as stub:
        yield stub
        stub.assert_no_pending_responses()


def stubbed(stub: Stubber) -> tuple[TableCapacity, Clock]:
    """The capacity of a table there."""
    clock = Clock()
    capacity = TableCapacity("Example_Table", client=stub.client, clock=clock, wait=clock.advance)
    return capacity, clock


def test_a_change_is_waited_for(stub: Stubber) -> None:
    before = description(billing=Billing.PROVISIONED, units=5)
    for now in (
        description(billing=Billing.PROVISIONED, units=5, table="UPDATING"),
        before,  # somebody else's change is over
    ):
        stub.add_response("describe_table", now)
    expected = {"TableName": "Example_Table", "BillingMode": "PAY_PER_REQUEST"}
    stub.add_response("update_table", {}, expected)
    for now in (
        before,  # an old answer
        description(billing=Billing.ON_DEMAND, table="UPDATING"),
        description(billing=Billing.ON_DEMAND, index="UPDATING"),
        description(billing=Billing.ON_DEMAND),
    ):
        stub.add_response("describe_table", now)
    capacity, _ = stubbed(stub)
    capacity.set_on_demand()


def test_a_change_that_takes_too_long(stub: Stubber) -> None:
    capacity, clock = stubbed(stub)
    updating = description(billing=Billing.PROVISIONED, units=5, table="UPDATING")
    stub.add_response("describe_table", updating)
    stub.add_response("describe_table", updating)

    def wait(seconds: float) -> None:
        clock.advance(WAIT_SECONDS)

    capacity = TableCapacity("Example_Table", client=stub.client, clock=clock, wait=wait)
    with pytest.raises(StoreUnavailable, match="still UPDATING after 30 minutes"):
        capacity.set_provisioned(read=1, write=1)


@pytest.mark.parametrize(
    ("before", "change", "advice"),
    [
        (Billing.PROVISIONED, TableCapacity.set_on_demand, "four times in 24 hours"),
        (
            Billing.PROVISIONED,
            lambda capacity: capacity.set_provisioned(read=1, write=1),
            "try again in an hour",
        ),
    ],
)
def test_a_limit_is_explained(
    stub: Stubber, before: Billing, change: Callable[[TableCapacity], None], advice: str
) -> None:
    stub.add_response("describe_table", description(billing=before, units=5))
    stub.add_client_error("update_table", "LimitExceededException", "Subscriber limit exceeded")
    capacity, _ = stubbed(stub)
    with pytest.raises(PyAnamoError, match=f"{advice}.*Subscriber limit exceeded"):
        change(capacity)


def test_somebody_else_changes_the_table(stub: Stubber) -> None:
    stub.add_response("describe_table", description(billing=Billing.PROVISIONED, units=5))
    stub.add_client_error("update_table", "ResourceInUseException", "being updated")
    capacity, _ = stubbed(stub)
    with pytest.raises(StoreUnavailable, match="by somebody else"):
        capacity.set_provisioned(read=1, write=1)


def test_no_access_to_what_scales_it(dynamodb: str, moto: str, table_name: str) -> None:
    table = DynamoDBTable(table_name, account=Account(endpoint_url=dynamodb))
    table.create(Units(read=1, write=1))
    scaler = boto3.client("application-autoscaling", endpoint_url=moto)
    capacity = TableCapacity(table_name, Account(endpoint_url=dynamodb), scaling_client=scaler)
    with Stubber(scaler) as stub:
        stub.add_client_error("describe_scalable_targets", "AccessDeniedException", "no index")
        with pytest.raises(AccessDenied, match=f"the scaling of table '{table_name}'.*no index"):
            capacity.describe()


def test_a_refusal_that_speaks_of_an_index_is_no_missing_table(
    dynamodb: str, moto: str, table_name: str
) -> None:
    table = DynamoDBTable(table_name, account=Account(endpoint_url=dynamodb))
    table.create()
    scaler = boto3.client("application-autoscaling", endpoint_url=moto)
    capacity = TableCapacity(table_name, Account(endpoint_url=dynamodb), scaling_client=scaler)
    with Stubber(scaler) as stub:
        stub.add_response("describe_scaling_policies", {"ScalingPolicies": []})
        stub.add_client_error("register_scalable_target", "ValidationException", "bad index")
        with pytest.raises(PyAnamoError, match="Application Auto Scaling refuses") as caught:
            capacity.set_autoscaling(minimum=1, maximum=2, target_percent=70)
    assert not isinstance(caught.value, TableNotFound)
