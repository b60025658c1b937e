"""The capacity of tables: DynamoDB Local, and moto for what scales it."""

import uuid
from collections.abc import Callable, Iterator

import boto3
import pytest

from pyanamo.account import Account
from pyanamo.errors import PyAnamoError, TableNotFound, UsageError
from pyanamo.tables.attributes import INDEX
from pyanamo.tables.dynamodb.capacity import TableCapacity
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.tables.dynamodb.units import Billing, Capacity, Scaling, Throughput, Units

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
    with pytest.raises(PyAnamoError, match="is not a PyAnamo table"):
        capacity.describe()


def test_a_dynamodb_elsewhere_is_not_scaled_by_aws(
    table: DynamoDBTable, dynamodb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.create()
    monkeypatch.delenv("AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING")
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    capacity = TableCapacity(table.name, Account(endpoint_url=dynamodb))
    units = Units(read=3, write=3)
    capacity.set_provisioned(read=3, write=3)
    assert capacity.describe() == fixed(units, units)
    with pytest.raises(UsageError, match=f"{dynamodb} can't be scaled"):
        capacity.set_autoscaling(minimum=1, maximum=2, target_percent=70)
    capacity.set_on_demand()
    assert capacity.describe() == ON_DEMAND
