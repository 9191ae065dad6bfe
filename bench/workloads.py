"""The micro workloads: what a loop does when it does almost nothing else.

Each takes a number of units, which is about how many steps it makes, so that all take about as long
as an empty step does that many times.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["WORKLOADS"]

TASKS = 20


async def sleep0(units: int) -> None:
    """20 tasks that only take turns."""

    async def turn() -> None:
        for _ in range(units // TASKS):
            await asyncio.sleep(0)

    await asyncio.gather(*(turn() for _ in range(TASKS)))


async def spawn(units: int) -> None:
    """Tasks that end at once."""

    async def empty() -> None:
        pass

    for _ in range(units // 8):
        await asyncio.create_task(empty())


async def pingpong(units: int) -> None:
    """Two tasks over two queues."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def ping() -> None:
        for _ in range(units // 8):
            await there.put(1)
            await back.get()

    async def pong() -> None:
        for _ in range(units // 8):
            await there.get()
            await back.put(1)

    await asyncio.gather(ping(), pong())


async def echo(units: int) -> None:
    """Two ends of a socket pair."""
    left, right = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=left)
    other_reader, other_writer = await asyncio.open_connection(sock=right)

    async def answer() -> None:
        while data := await other_reader.read(100):
            other_writer.write(data)

    answering = asyncio.create_task(answer())
    for _ in range(units // 40):
        writer.write(b"x" * 50)
        await reader.readexactly(50)
    writer.close()
    await answering
    other_writer.close()


WORKLOADS: dict[str, Callable[[int], Coroutine[Any, Any, None]]] = {
    "empty step": sleep0,
    "spawn": spawn,
    "ping-pong": pingpong,
    "socket echo": echo,
}
"""Each by the name that the tables show."""
