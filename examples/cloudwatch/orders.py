"""A worker whose every order goes to files, and a sample of them to CloudWatch.

    python orders.py --orders 1000 --telemetry-dir telemetry

EMF goes to stdout, where the log driver of a container takes it, or with `--emf-dir` to files,
where the CloudWatch agent does.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from records import Operation, OrderMetrics, emf

import tachograph as tg
from tachograph.formats.emf import Emf
from tachograph.metrics import Destination
from tachograph.sinks import Period, QueueSink, RollingFile, StreamTarget


class OutOfStockError(Exception):
    """There is less than was ordered."""


async def reserve(number: int) -> None:
    """Ask the stock for one item."""
    await asyncio.sleep(0)
    if number % 50 == 49:
        raise OutOfStockError


async def order(number: int) -> None:
    operation = Operation.Cancel if number % 10 == 9 else Operation.Place
    async with OrderMetrics(order_id=f"o-{number}", operation=operation) as event:
        event.body_size = tg.Unit.KILOBYTES(1 + number % 4)
        event.tokens = number
        for _ in range(2):
            watch = asyncio.get_running_loop().time()
            try:
                await reserve(number)
            except OutOfStockError:
                event.stock_errors += 1
                raise
            finally:
                elapsed = asyncio.get_running_loop().time() - watch
                event.calls.add(tg.Unit.SECONDS(elapsed))
            event.items += 1
        event.status = "done"


async def work(orders: int) -> None:
    """Take the orders, ten at a time."""
    for first in range(0, orders, 10):
        batch = (order(number) for number in range(first, min(orders, first + 10)))
        await asyncio.gather(*batch, return_exceptions=True)


def sampled_emf(rate: float, directory: Path | None) -> Destination:
    """Return the destination of the sample; every failed or slow order is in it."""
    if directory is None:
        target = StreamTarget(sys.stdout.buffer)
    else:
        target = RollingFile(directory, prefix="emf.log", period=Period.HOUR)
    return Destination(
        Emf(emf("orders")),
        QueueSink(target, name="emf"),
        # By the order's id, so that every service keeps the same orders.
        sampler=tg.Sampling(rate, by="order_id", keep_slower_than=1.0),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000)
    parser.add_argument("--telemetry-dir", type=Path, default=Path("telemetry"))
    parser.add_argument("--emf-dir", type=Path, help="files instead of stdout, for the agent")
    parser.add_argument("--rate", type=float, default=0.1, help="the part that goes to CloudWatch")
    options = parser.parse_args()
    config = tg.TelemetryConfig(
        service="orders",
        telemetry_dir=options.telemetry_dir,
        destinations=[sampled_emf(options.rate, options.emf_dir)],
    )
    with tg.init_telemetry(config):
        asyncio.run(work(options.orders))


if __name__ == "__main__":
    main()
