"""The capacity of tables: DynamoDB Local, and moto for what scales it."""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pyanamo.errors import AccessDenied, PyAnamoError, StoreUnavailable, TableNotFound, UsageError
from pyanamo.tables.attributes import INDEX
from pyanamo.tables.dynamodb.capacity import WAIT_SECONDS, TableCapacity
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.tables.dynamodb.units import Billing, Capacity, Scaling, Throughput, Units
from tests.support import moto_server

NONE = Throughput(units=Units())
ON_DEMAND = Capacity(billing=Billing.ON_DEMAND, table=NONE, index=NONE)


def fixed(table: Units, index: Units) -> Capacity:
    """Provisioned, and nothing scales it."""
    return Capacity(
        billing=Billing.PROVISIONED, table=Throughput(units=table), index=Throughput(units=index)
    )


def scaled(table: Units, index: Units, scaling: Scaling) -> Capacity:
    """Provisioned, and everything is scaled."""
    throughputs = [
        Throughput(units=units, read_scaling=scaling, write_scaling=scaling)
        for units in (table, index)
    ]
    return Capacity(billing=Billing.PROVISIONED, table=throughputs[0], index=throughputs[1])


moto = moto_server.moto


@pytest.fixture
def table(
    dynamodb: str, moto: str, table_name: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DynamoDBTable]:
    """A table that isn't there yet, of a DynamoDB that can be scaled."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)
    monkeypatch.setenv("AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING", moto)
    table = DynamoDBTable(table_name)
    yield table
    table.close()


@pytest.fixture
def capacity(table: DynamoDBTable) -> Iterator[TableCapacity]:
    """Of that table."""
    capacity = TableCapacity(table.name)
    yield capacity
    capacity.close()


def targets(name: str) -> set[tuple[str, str]]:
    """What is scaled, by the service's own account."""
    answer = boto3.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="dynamodb", ResourceIds=[f"table/{name}", f"table/{name}/index/{INDEX}"]
    )
    return {(one["ResourceId"], one["ScalableDimension"]) for one in answer["ScalableTargets"]}


# --- Tables that are made -----------------------------------------------------------------------


def test_a_table_is_on_demand(table: DynamoDBTable, capacity: TableCapacity) -> None:
    assert table.create()
    assert capacity.describe() == ON_DEMAND


def test_a_table_may_be_made_with_units(table: DynamoDBTable, capacity: TableCapacity) -> None:
    assert table.create(Units(read=3, write=4))
    units = Units(read=3, write=4)
    assert capacity.describe() == fixed(units, units)


# --- Changes ------------------------------------------------------------------------------------


def test_to_units_and_back(table: DynamoDBTable, capacity: TableCapacity) -> None:
    table.create()
    for units in (Units(read=5, write=6), Units(read=5, write=9), Units(read=2, write=9)):
        for _ in range(2):  # the second time, there is nothing to change
            capacity.set_provisioned(read=units.read, write=units.write)
            assert capacity.describe() == fixed(units, units)
    for _ in range(2):
        capacity.set_on_demand()
        assert capacity.describe() == ON_DEMAND
    capacity.set_provisioned(read=2, write=9)
    assert capacity.describe() == fixed(Units(read=2, write=9), Units(read=2, write=9))


def test_only_the_index_differs(table: DynamoDBTable, capacity: TableCapacity) -> None:
    table.create(Units(read=5, write=5))
    throughput = Units(read=7, write=8).attribute()
    update = {"IndexName": INDEX, "ProvisionedThroughput": throughput}
    boto3.client("dynamodb").update_table(
        TableName=table.name, GlobalSecondaryIndexUpdates=[{"Update": update}]
    )
    five = Units(read=5, write=5)
    assert capacity.describe() == fixed(five, Units(read=7, write=8))
    capacity.set_provisioned(read=5, write=5)
    assert capacity.describe() == fixed(five, five)


def test_scaled_from_on_demand(table: DynamoDBTable, capacity: TableCapacity) -> None:
    table.create()
    capacity.set_autoscaling(minimum=5, maximum=100, target_percent=70)
    least = Units(read=5, write=5)
    scaling = Scaling(minimum=5, maximum=100, target_percent=70)
    assert capacity.describe() == scaled(least, least, scaling)
    assert len(targets(table.name)) == 4


def test_scaled_units_start_where_they_are(table: DynamoDBTable, capacity: TableCapacity) -> None:
    table.create(Units(read=20, write=200))
    capacity.set_autoscaling(minimum=10, maximum=100, target_percent=50)
    units = Units(read=20, write=100)
    scaling = Scaling(minimum=10, maximum=100, target_percent=50)
    assert capacity.describe() == scaled(units, units, scaling)
    capacity.set_autoscaling(minimum=50, maximum=400, target_percent=80)
    units = Units(read=50, write=100)
    scaling = Scaling(minimum=50, maximum=400, target_percent=80)
    assert capacity.describe() == scaled(units, units, scaling)


def test_what_is_fixed_or_on_demand_is_not_scaled(
    table: DynamoDBTable, capacity: TableCapacity
) -> None:
    table.create()
    for change in (capacity.set_on_demand, lambda: capacity.set_provisioned(read=7, write=7)):
        capacity.set_autoscaling(minimum=5, maximum=10, target_percent=70)
        change()
        assert targets(table.name) == set()
    seven = Units(read=7, write=7)
    assert capacity.describe() == fixed(seven, seven)


def test_another_tables_scaling_is_left_alone(
    table: DynamoDBTable, capacity: TableCapacity
) -> None:
    other = DynamoDBTable(f"other-{uuid.uuid4()}")
    for one in (table, other):
        one.create()
        TableCapacity(one.name).set_autoscaling(minimum=5, maximum=10, target_percent=70)
    capacity.set_on_demand()
    assert targets(table.name) == set()
    assert len(targets(other.name)) == 4


def test_a_policy_that_is_there_is_changed(table: DynamoDBTable, capacity: TableCapacity) -> None:
    table.create(Units(read=5, write=5))
    client = boto3.client("application-autoscaling")
    number = {
        "ServiceNamespace": "dynamodb",
        "ResourceId": f"table/{table.name}",
        "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
    }
    client.register_scalable_target(**number, MinCapacity=1, MaxCapacity=7)
    unscaled = capacity.describe()
    assert unscaled.table.read_scaling == Scaling(minimum=1, maximum=7, target_percent=None)
    assert unscaled.table.write_scaling is None
    metric = {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"}
    client.put_scaling_policy(
        **number,
        PolicyName="the console's",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 30,
            "PredefinedMetricSpecification": metric,
        },
    )
    read_scaling = capacity.describe().table.read_scaling
    assert read_scaling == Scaling(minimum=1, maximum=7, target_percent=30)
    capacity.set_autoscaling(minimum=5, maximum=50, target_percent=60)
    policies = client.describe_scaling_policies(**number)["ScalingPolicies"]
    assert [policy["PolicyName"] for policy in policies] == ["the console's"]
    read_scaling = capacity.describe().table.read_scaling
    assert read_scaling == Scaling(minimum=5, maximum=50, target_percent=60)


def test_scaling_outlives_a_table_until_it_is_removed(
    table: DynamoDBTable, capacity: TableCapacity
) -> None:
    table.create()
    capacity.set_autoscaling(minimum=5, maximum=10, target_percent=70)
    boto3.client("dynamodb").delete_table(TableName=table.name)
    assert len(targets(table.name)) == 4
    capacity.remove_scaling()
    assert targets(table.name) == set()
    capacity.remove_scaling()  # nothing is there


# --- What can't be ------------------------------------------------------------------------------


@pytest.mark.parametrize(("read", "write"), [(0, 1), (1, 0), (-3, 5)])
def test_no_units(capacity: TableCapacity, read: int, write: int) -> None:
    with pytest.raises(UsageError, match="at least 1 unit"):
        capacity.set_provisioned(read=read, write=write)


@pytest.mark.parametrize(
    ("minimum", "maximum", "target", "message"),
    [
        (0, 10, 70, "between 0 and 10"),
        (10, 9, 70, "between 10 and 9"),
        (1, 10, 19.9, "target of 19.9%"),
        (1, 10, 91, "from 20 to 90"),
    ],
)
def test_no_scaling(
    capacity: TableCapacity, minimum: int, maximum: int, target: float, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        capacity.set_autoscaling(minimum=minimum, maximum=maximum, target_percent=target)


def test_no_table(capacity: TableCapacity) -> None:
    change: Callable[[], object]
    for change in (
        capacity.describe,
        capacity.set_on_demand,
        lambda: capacity.set_provisioned(read=1, write=1),
        lambda: capacity.set_autoscaling(minimum=1, maximum=2, target_percent=70),
    ):
        with pytest.raises(TableNotFound, match=capacity.name):
            change()


def test_somebody_elses_table(capacity: TableCapacity) -> None:
    boto3.client("dynamodb").create_table(
        TableName=capacity.name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    with pytest.raises(PyAnamoError, match="is not PyAnamo's"):
        capacity.describe()


def test_a_dynamodb_elsewhere_is_not_scaled_by_aws(
    table: DynamoDBTable, dynamodb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.create()
    monkeypatch.delenv("AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING")
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    capacity = TableCapacity(table.name, endpoint_url=dynamodb)
    units = Units(read=3, write=3)
    capacity.set_provisioned(read=3, write=3)
    assert capacity.describe() == fixed(units, units)
    with pytest.raises(UsageError, match=f"{dynamodb} can't be scaled"):
        capacity.set_autoscaling(minimum=1, maximum=2, target_percent=70)
    capacity.set_on_demand()
    assert capacity.describe() == ON_DEMAND


# --- What DynamoDB Local doesn't do -------------------------------------------------------------


class Clock:
    """A clock that goes on when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds


def description(
    *, billing: Billing, units: int = 0, table: str = "ACTIVE", index: str = "ACTIVE"
) -> dict[str, Any]:
    """What DescribeTable answers."""
    throughput = Units(read=units, write=units).attribute()
    indexes = [{"IndexName": INDEX, "IndexStatus": index, "ProvisionedThroughput": throughput}]
    answer: dict[str, Any] = {
        "TableStatus": table,
        "ProvisionedThroughput": throughput,
        "GlobalSecondaryIndexes": indexes,
    }
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
    capacity = TableCapacity("Example_Table", client=stub.client, clock=clock, wait=clock.wait)
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
        clock.wait(WAIT_SECONDS)

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
    table = DynamoDBTable(table_name, endpoint_url=dynamodb)
    table.create(Units(read=1, write=1))
    scaler = boto3.client("application-autoscaling", endpoint_url=moto)
    capacity = TableCapacity(table_name, endpoint_url=dynamodb, scaling_client=scaler)
    with Stubber(scaler) as stub:
        stub.add_client_error("describe_scalable_targets", "AccessDeniedException", "no index")
        with pytest.raises(AccessDenied, match=f"the scaling of table '{table_name}'.*no index"):
            capacity.describe()


def test_a_refusal_that_speaks_of_an_index_is_no_missing_table(
    dynamodb: str, moto: str, table_name: str
) -> None:
    table = DynamoDBTable(table_name, endpoint_url=dynamodb)
    table.create()
    scaler = boto3.client("application-autoscaling", endpoint_url=moto)
    capacity = TableCapacity(table_name, endpoint_url=dynamodb, scaling_client=scaler)
    with Stubber(scaler) as stub:
        stub.add_response("describe_scaling_policies", {"ScalingPolicies": []})
        stub.add_client_error("register_scalable_target", "ValidationException", "bad index")
        with pytest.raises(PyAnamoError, match="Application Auto Scaling refuses") as caught:
            capacity.set_autoscaling(minimum=1, maximum=2, target_percent=70)
    assert not isinstance(caught.value, TableNotFound)
