"""Connections that wait at this process's listening sockets.

The kernel tells of them over a netlink socket; where that is closed to us, its table of connections
does, which does not say how many may wait.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.turns import next_due
from tachograph.trace.events import EVENTS

__all__ = ["AcceptQueues", "Listener", "by_netlink", "by_table"]

QUEUE = EventKind.builtin(EVENTS["TcpAcceptQueueEvent"])

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_LISTENING = 10
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_QUESTION = struct.Struct("=BBBxI48x")  # family, protocol, extensions, states, whose
_ANSWER = struct.Struct("=4B2s2s16s16sIQ5I")  # ..., port, ..., address, ..., cookie, ..., inode
_FAMILIES = ((socket.AF_INET, 4, 4), (socket.AF_INET6, 6, 16))
_MOST_TABLE = 1 << 20  # listening sockets stand first in it
_MOST = 1_024
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class Listener(NamedTuple):
    """A listening socket of the host, as the event has it."""

    cookie: int
    inode: int
    ip_version: int
    address: str
    port: int
    pending: int
    limit: int


class AcceptQueues:
    """Looks at the listening sockets of this process.

    Args:
        interval_ms: How often.
    """

    name = "accept_queues"

    def __init__(self, interval_ms: int) -> None:
        self._interval_ns = interval_ms * 1_000_000
        self._due_ns = 0
        self._netlink: socket.socket | None = None
        self._whose: dict[int, bool] = {}  # inodes of listening sockets: whether we have them

    @classmethod
    def wanted(cls, config: SourcesConfig) -> AcceptQueues | None:
        """Return it if it is on."""
        return cls(config.accept_queues_interval_ms) if config.accept_queues else None

    def start(self) -> None:
        """Find a way to ask.

        Raises:
            RuntimeError: The system has none.
        """
        if sys.platform != "linux":
            msg = "the queues of listening sockets can be read on Linux only"
            raise RuntimeError(msg)
        try:
            self._netlink = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
            )
            self._netlink.settimeout(0.2)
            list(by_netlink(self._netlink))
        except OSError:
            self._close()
            try:
                list(by_table())
            except OSError as error:
                msg = f"neither sock_diag nor /proc/net/tcp can be read: {error}"
                raise RuntimeError(msg) from error

    def _close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def stop(self) -> None:
        """Ask no more."""
        self._close()

    def metadata(self) -> dict[str, str]:
        """Return which way is gone."""
        return {"accept_queues.backend": "proc" if self._netlink is None else "sock_diag"}

    def counts(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def turn(self, now_ns: int) -> None:
        """Emit each own socket's queue, if it is time."""
        if now_ns < self._due_ns:
            return
        self._due_ns = next_due(now_ns, self._interval_ns)
        asked = by_table() if self._netlink is None else by_netlink(self._netlink)
        listeners = [found for found, _ in zip(asked, range(_MOST), strict=False)]
        inodes = {each.inode for each in listeners}
        if not inodes <= self._whose.keys():
            # A new one: whether it is ours, only a look at all own files tells.
            own = _own_sockets()
            self._whose = {inode: inode in own for inode in inodes}
        for each in listeners:
            if self._whose[each.inode]:
                buffer.add(QUEUE, each, now_ns)


def _own_sockets() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # closed meanwhile
            if match := _SOCKET.fullmatch(os.readlink(f"/proc/self/fd/{name}")):  # noqa: PTH115
                found.add(int(match[1]))
    return found


def by_netlink(netlink: socket.socket) -> Iterator[Listener]:
    """Yield the listening sockets of the host's network.

    Raises:
        OSError: The kernel does not answer, or says no.
    """
    for family, version, size in _FAMILIES:
        question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 1 << _LISTENING)
        length = _HEADER.size + len(question)
        header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, version, 0)
        netlink.send(header + question)
        yield from _answers(netlink, version, size)


def _answers(netlink: socket.socket, version: int, size: int) -> Iterator[Listener]:
    while True:
        data = netlink.recv(1 << 16)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
            body = at + _HEADER.size
            if sequence == version:  # else it is of a question that was given up
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", data, body)[0]
                    raise OSError(code, os.strerror(code))
                yield _listener(data, body, version, size)
            at += max(_HEADER.size, (length + 3) & ~3)


def _listener(data: bytes, at: int, version: int, size: int) -> Listener:
    fields = _ANSWER.unpack_from(data, at)
    port, _, address, _, _, cookie, _, pending, limit, _, inode = fields[4:]
    family = socket.AF_INET if version == _FAMILIES[0][1] else socket.AF_INET6
    text = socket.inet_ntop(family, address[:size])
    return Listener(cookie, inode, version, text, int.from_bytes(port, "big"), pending, limit)


def by_table(proc: Path = Path("/proc")) -> Iterator[Listener]:
    """Yield the listening sockets of the kernel's tables; 0 stands for cookie and limit.

    Raises:
        OSError: The table of IPv4 cannot be read.
    """
    for family, version, _ in _FAMILIES:
        path = proc / "self/net" / ("tcp" if version == _FAMILIES[0][1] else "tcp6")
        if version != _FAMILIES[0][1] and not path.exists():
            return
        with path.open("rb") as file:
            lines = file.read(_MOST_TABLE).split(b"\n")[1:]
        for line in lines:
            words = line.split()
            if len(words) < 10 or int(words[3], 16) != _LISTENING:
                continue
            place, _, port = words[1].partition(b":")
            # Four bytes at a time in the machine's order.
            raw = bytes.fromhex(place.decode())
            if sys.byteorder == "little":
                raw = b"".join(raw[n : n + 4][::-1] for n in range(0, len(raw), 4))
            text = socket.inet_ntop(family, raw)
            pending = int(words[4].partition(b":")[2], 16)
            yield Listener(0, int(words[9]), version, text, int(port, 16), pending, 0)
