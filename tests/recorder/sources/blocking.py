"""Programs' functions that block for a known time, each in a way of its own."""

from __future__ import annotations

import os
import queue
import select
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import sleep

import pytest

__all__ = ["BLOCKING", "WAIT_S"]

WAIT_S = 0.02


def _by_sleep() -> None:
    sleep(WAIT_S)  # bound before the recorder began


def _by_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=WAIT_S)


def _later(action: Callable[[], object]) -> None:
    threading.Timer(WAIT_S, action).start()


def _by_with_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    _later(lock.release)
    with lock:
        pass


def _by_rlock() -> None:
    lock, has = threading.RLock(), threading.Event()

    def hold() -> None:
        with lock:
            has.set()
            time.sleep(5 * WAIT_S)  # part of it before it is asked for

    threading.Thread(target=hold).start()
    has.wait()
    with lock:
        pass


def _by_queue() -> None:
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    with pytest.raises(queue.Empty):
        waiting.get(timeout=WAIT_S)


def _by_recv() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        client.settimeout(WAIT_S)
        with pytest.raises(TimeoutError):
            client.recv(1)


def _by_accept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_S)
        with pytest.raises(TimeoutError):
            server.accept()


def _by_connect() -> None:
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        first.connect(server.getsockname())  # all there is room for
        second.settimeout(WAIT_S)
        with pytest.raises(TimeoutError):
            second.connect(server.getsockname())


def _by_read() -> None:
    out, into = os.pipe()
    _later(lambda: os.write(into, b"x"))
    os.read(out, 1)
    os.close(out)
    os.close(into)


def _by_file() -> None:
    out, into = os.pipe()
    _later(lambda: os.write(into, b"x"))
    with open(out, "rb", buffering=0) as file:  # noqa: PTH123
        file.read(1)
    os.close(into)


def _by_open() -> None:
    path = Path(os.environ["TACHO_TEST_FIFO"])
    _later(lambda: path.write_bytes(b""))
    with path.open():
        pass


def _by_select() -> None:
    select.select([], [], [], WAIT_S)


def _by_poll() -> None:
    select.poll().poll(WAIT_S * 1e3)


def _by_process() -> None:
    subprocess.run(["sleep", str(5 * WAIT_S)], check=True)  # part of it before it is waited for


def _by_system() -> None:
    os.system(f"sleep {WAIT_S}")


def _by_sqlite() -> None:
    database = sqlite3.connect(":memory:")
    database.create_function("doze", 0, lambda: time.sleep(WAIT_S))
    database.execute("select doze()")
    database.close()


BLOCKING: list[tuple[Callable[[], None], str, str, str | None]] = [
    (_by_sleep, "time.sleep", "sleep(WAIT_S)", None),
    (_by_lock, "lock.acquire", "lock.acquire(timeout", None),
    (_by_with_lock, "lock.__enter__", "with lock", None),
    (_by_rlock, "RLock.__enter__", "    with lock:\n        pass", None),
    (_by_queue, "SimpleQueue.get", "waiting.get(", None),
    (_by_recv, "socket.recv", "client.recv", "127.0.0.1:"),
    (_by_accept, "socket.accept", "server.accept", None),
    (_by_connect, "socket.connect", "second.connect", "127.0.0.1:"),
    (_by_read, "os.read", "os.read", "fd "),
    (_by_file, "file.read", "file.read", ""),
    (_by_open, "io.open", "with path.open", "/fifo"),
    (_by_select, "select.select", "select.select", None),
    (_by_poll, "select.poll", "select.poll", None),
    (_by_process, "os.waitpid", "subprocess.run", None),
    (_by_system, "os.system", "os.system", None),
    (_by_sqlite, "sqlite3.execute", "database.execute", None),
]
"""What blocks, the name of the call, where in the source it is, and what its detail has."""
