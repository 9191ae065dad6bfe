"""The queues of listening sockets: our own, by both ways of asking."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.recorder.sources.recordings import record, told

from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources import SourcesConfig
from tachograph.recorder.sources import accept_queues as module
from tachograph.recorder.sources.accept_queues import AcceptQueues, by_table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells them")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket with room for seven, on which three wait."""
    with socket.create_server(("127.0.0.1", 0), backlog=7) as server:
        waiting = [socket.create_connection(server.getsockname()) for _ in range(3)]
        yield server
        for each in waiting:
            each.close()


def ports(waiting: EventBuffer) -> dict[int, tuple[object, ...]]:
    """Return what waits to be written, by port: version, address, pending, limit."""
    return {e.values[4]: (e.values[2], e.values[3], *e.values[5:]) for e in waiting.take(1000)}


def test_queues_are_told(tmp_path: Path, listening: socket.socket) -> None:
    """Address, port, how many wait and may wait, at the interval."""

    async def main() -> None:
        await asyncio.sleep(0.5)

    trace = record(tmp_path, main, accept_queues=True, accept_queues_interval_ms=100)
    port = listening.getsockname()[1]
    mine = [e for e in told(trace, "TcpAcceptQueueEvent") if e["local_port"] == port]
    by_netlink = trace.metadata["accept_queues.backend"] == "sock_diag"

    assert 3 <= len(mine) <= 8
    assert {(4, "127.0.0.1", 3, 7 if by_netlink else 0)} == {
        (e["ip_version"], e["local_addr"], e["pending_connections"], e["backlog_limit"])
        for e in mine
    }
    assert all(event["socket_inode"] for event in mine)


@pytest.mark.parametrize("way", ["sock_diag", "proc"])
def test_only_own_sockets(
    way: str, waiting: EventBuffer, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of other processes of the host are left out; new ones are found."""
    program = (
        "import socket, sys\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True)\nsys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    theirs = int(other.stdout.readline())
    if way == "proc":
        monkeypatch.setattr(module, "_NETLINK_SOCK_DIAG", 31)  # there is no such protocol
    source = AcceptQueues(100)
    source.start()
    try:
        if way != source.metadata()["accept_queues.backend"]:
            pytest.skip("this system has no sock_diag")
        source.turn(1)
        first = ports(waiting)
        with socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=5) as late:
            new = late.getsockname()[1]
            source.turn(10**9)
            second = ports(waiting)
            source.turn(10**9 + 1)  # too soon
            assert {} == ports(waiting)
    finally:
        source.stop()
        other.communicate("")
    mine = listening.getsockname()[1]

    assert theirs not in first
    assert (4, "127.0.0.1", 3, 7 if way == "sock_diag" else 0) == first[mine] == second[mine]
    assert new not in first
    assert (6, "::1", 0, 5 if way == "sock_diag" else 0) == second[new]


def test_the_kernels_table(tmp_path: Path) -> None:
    """Listening sockets of a table as the kernel writes it; others and torn lines are left out."""
    head = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid inode\n"
    )
    lines = (
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000 00000000 0 0 4711 1\n"
        "   1: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 4712 1\n"
        "   2: 0100007F:1F92 00000000:0000 0A 000"
    )
    (tmp_path / "self/net").mkdir(parents=True)
    (tmp_path / "self/net/tcp").write_text(head + lines)

    assert [(0, 4711, 4, "127.0.0.1", 8080, 5, 0)] == [tuple(x) for x in by_table(tmp_path)]


def test_where_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and stays off; it is off unless it is asked for."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(RuntimeError, match="on Linux only"):
        AcceptQueues(100).start()
    assert AcceptQueues.wanted(SourcesConfig()) is None
