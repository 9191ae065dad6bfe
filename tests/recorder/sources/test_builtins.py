"""The table of builtins, against this Python."""

from __future__ import annotations

import importlib
import sys

import pytest

from tachograph.recorder.sources.builtins import Builtin, known

ABSENT = {
    (3, 11): {"_thread._ThreadHandle.join"},
    (3, 12): {"_thread._ThreadHandle.join"},
}
"""What older Pythons do not have."""


@pytest.mark.skipif(sys.platform != "linux", reason="others have fewer of them")
def test_every_builtin_is_there() -> None:
    """Each row names something that can be called, save what is known to be absent."""
    missing = set()
    for builtin in known():
        importlib.import_module(builtin.module)
        try:
            found, owner = builtin.find()
        except AttributeError:
            missing.add(f"{builtin.owner}.{builtin.attribute}")
        else:
            assert callable(found)
            assert owner is None or isinstance(owner, type)

    assert ABSENT.get(sys.version_info[:2], set()) == missing


def test_no_builtin_stands_twice() -> None:
    """One place in the core for each."""
    found = [(b.owner, b.attribute) for b in known()]

    assert len(set(found)) == len(found)


def test_what_the_core_is_told() -> None:
    """The place of the detail, and whether it is a lock or a socket."""
    found = {f"{b.owner}.{b.attribute}": b for b in known()}

    assert found["_socket.socket._accept"].name == "socket.accept"
    assert found["_socket.socket.recv"].how == 5 | 16
    assert found["_thread.lock.acquire"].how == 8
    assert found["_socket.getaddrinfo"] == Builtin(
        "_socket", "getaddrinfo", "socket.getaddrinfo", 3
    )
