"""What an order leaves behind, and where CloudWatch puts it."""

import enum

import tachograph as tg

IN_FLIGHT = tg.Counter()


class Operation(enum.Enum):
    Place = 1
    Cancel = 2


class OrderMetrics(
    tg.WideEvent,
    rename="PascalCase",
    # Each set makes a metric of its own, and each costs. `[]` is the sum over all.
    dimensions=[["Operation", "Status"], ["Operation"], []],
):
    """One order."""

    order_id: str
    operation: Operation
    status: str = "failed"
    # Watched closely: kept by the second.
    duration = tg.timer(unit=tg.Unit.MILLISECONDS, high_resolution=True)
    in_flight = tg.gauge(IN_FLIGHT)
    items: int = 0
    body_size: int | tg.Quantity = tg.metric(0, unit=tg.Unit.BYTES)
    # Several calls an order: each duration counts.
    calls = tg.distribution(unit=tg.Unit.MILLISECONDS)
    # Told apart by a dimension of its own, in a line of its own.
    stock_errors: int = tg.metric(0, unit=tg.Unit.COUNT, dimensions={"Dependency": "stock"})
    # To look at in the log; no metric, no bill.
    tokens: int = tg.metric(0, unit="Tokens", log_only=True)
    error_type: str | None = None
    outcome = tg.outcome()


def emf(service: str) -> tg.EmfConfig:
    """Return where CloudWatch puts the metrics: two namespaces, by region and over all regions."""
    return tg.EmfConfig(
        namespaces=["Shop", "Shop/Orders"],
        dimensions=[["Region"], []],
        globals={"Service": service, "Region": "eu-central-1"},
    )
