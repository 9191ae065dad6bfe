"""Which call blocked, from which line, in which step, for how long; and nothing else is changed."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from tests.recorder.reading import Told, segments, tell
from tests.recorder.sources.blocking import BLOCKING, WAIT_S
from tests.recorder.sources.telling import events, record, stack, steps_around

from tachograph import recorder
from tachograph.recorder import RecorderConfig, SourcesConfig
from tachograph.recorder.core import core, is_native
from tachograph.recorder.sources.calls import Calls, detail_text
from tachograph.recorder.sources.unavailable import Unavailable

native = pytest.mark.skipif(not is_native, reason="calls are timed natively")
WAIT_NS = int(WAIT_S * 1e9)


def calls(told: Told, name: str) -> list[Any]:
    """Return the blocking calls of a name."""
    return [e for e in events(told, "tacho:BlockingCall") if e["call"] == name]


@native
@pytest.mark.parametrize(
    ("block", "name", "code", "detail"), BLOCKING, ids=[each[0].__name__ for each in BLOCKING]
)
def test_a_blocking_call_is_told(
    block: Callable[[], None],
    name: str,
    code: str,
    detail: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its name, what it is about, the program's line, the task; within its step, and so long."""
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setenv("TACHO_TEST_FIFO", str(tmp_path / "fifo"))
    took = 0

    async def main() -> None:
        nonlocal took
        await asyncio.sleep(0)
        begun = time.monotonic_ns()
        block()
        took = time.monotonic_ns() - begun

    told = record(tmp_path / "traces", main, blocking_calls=True)

    event = max(calls(told, name), key=lambda e: e["duration_ns"])
    # A process's own time to end is not known, a timer may have begun before the wait.
    assert 0.7 * WAIT_NS <= event["duration_ns"] <= took
    source, first = inspect.getsourcelines(block)
    line = first + "".join(source)[: "".join(source).rindex(code)].count("\n")
    assert f"{block.__name__}:{line}" in stack(told, event)
    assert (detail is None) == (event["detail"] is None)
    assert detail is None or detail in event["detail"]
    assert 1 == steps_around(told, event)


@native
def test_a_process_is_told_by_the_name_of_its_program(tmp_path: Path) -> None:
    """Each place where it may lie is the same program."""

    async def main() -> None:
        await asyncio.sleep(0)
        subprocess.run(["true"], check=True)
        subprocess.run(["/bin/true"], check=True)

    it = recorder.start(RecorderConfig(directory=tmp_path))
    home = it.directory
    assert home is not None
    core.time_calls(1, PurePosixPath)
    asyncio.run(main())
    it.close()
    told = tell(segments(home))

    # From 3.13 on a program that is named with its directory may begin without a fork.
    found = [*calls(told, "subprocess.fork_exec"), *calls(told, "os.posix_spawn")]
    assert ["true", "/bin/true"] == [e["detail"] for e in found]


# ---------------------------------------------------------------------- what does not


@native
def test_calls_outside_of_steps_are_not_told(tmp_path: Path) -> None:
    """Another thread may block as it likes, and so may this one before its loop runs."""

    async def main() -> None:
        await asyncio.to_thread(time.sleep, WAIT_S)

    it = recorder.start(RecorderConfig(directory=tmp_path))
    home = it.directory
    assert home is not None
    with it:
        time.sleep(WAIT_S)
        asyncio.run(main())
        time.sleep(WAIT_S)

    assert [] == calls(tell(segments(home)), "time.sleep")


@native
def test_short_calls_are_not_told(tmp_path: Path) -> None:
    """The threshold is the setting's."""

    async def main() -> None:
        time.sleep(WAIT_S)

    told = record(tmp_path, main, blocking_calls=True, blocking_calls_threshold_ms=60_000)

    assert [] == events(told, "tacho:BlockingCall")


def test_without_the_source_nothing_is_told(tmp_path: Path) -> None:
    """Another source tells nothing of it."""

    async def main() -> None:
        time.sleep(WAIT_S)

    assert [] == events(record(tmp_path, main, gc=True), "tacho:BlockingCall")


@native
def test_a_paused_recorder_tells_nothing(tmp_path: Path) -> None:
    """Also of the step in which it was paused."""

    async def main() -> None:
        recorder.pause()
        time.sleep(WAIT_S)

    assert [] == events(record(tmp_path, main, blocking_calls=True), "tacho:BlockingCall")


@native
def test_a_socket_that_never_blocks_waits_for_the_gil(tmp_path: Path) -> None:
    """What takes long in its calls is no blocking: it is told as a wait for the GIL."""
    over = threading.Event()

    def hog() -> None:
        while not over.is_set():
            sum(range(200_000))

    async def main() -> None:
        await asyncio.sleep(0)
        left, right = socket.socketpair()
        left.setblocking(False)
        right.setblocking(False)
        thread = threading.Thread(target=hog)
        thread.start()
        end = time.monotonic() + 20
        while len(slow) < 3 and time.monotonic() < end:
            begun = time.monotonic_ns()
            left.send(bytes(100_000))
            if time.monotonic_ns() - begun >= 3_000_000:
                slow.append(begun)
            right.recv(200_000)
        over.set()
        thread.join()
        left.close()
        right.close()

    slow: list[int] = []
    told = record(tmp_path, main, blocking_calls=True)

    waits = [e for e in events(told, "tacho:GilWait") if e["kind"] == 2]
    assert 3 == len(slow)  # else that thread has never had the GIL meanwhile
    assert len(waits) >= 3
    assert all(0 == e["worker_id"] and e["duration_ns"] >= 1_000_000 for e in waits)
    assert [] == calls(told, "socket.send")


# ---------------------------------------------------------------------- modules


@native
def test_imports_inside_steps_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outermost always; those within it from the threshold on; not those that are loaded."""
    (tmp_path / "outer_mod.py").write_text("import slow_mod\nimport quick_mod\n")
    (tmp_path / "slow_mod.py").write_text("import time\ntime.sleep(0.06)\n")
    (tmp_path / "quick_mod.py").write_text("")
    (tmp_path / "alone_mod.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def main() -> None:
        await asyncio.sleep(0)
        import alone_mod  # type: ignore[import-not-found]  # noqa: F401
        import outer_mod  # type: ignore[import-not-found]  # noqa: F401

        for _ in range(5):
            import quick_mod  # type: ignore[import-not-found]  # noqa: F401

    told = record(tmp_path / "t", main, blocking_calls=True, blocking_calls_threshold_ms=50)

    found = {e["module"]: e for e in events(told, "tacho:ImportTime")}
    assert ["alone_mod", "slow_mod", "outer_mod"] == list(found)
    assert found["outer_mod"]["duration_ns"] >= found["slow_mod"]["duration_ns"] >= 60_000_000
    within = inspect.getsource(main).splitlines()
    line = next(i for i, text in enumerate(within) if "import outer_mod" in text)
    line += main.__code__.co_firstlineno
    assert [" module :1", f"main:{line}"] == stack(told, found["slow_mod"])[:2]
    assert f"main:{line}" == stack(told, found["outer_mod"])[0]


@native
def test_tracebacks_are_as_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a call nor an import adds a frame, and what they raise is the same."""
    (tmp_path / "failing_mod.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def fail() -> list[str]:
        found = []
        for action in (
            lambda: __import__("failing_mod"),
            lambda: __import__("no_such_mod"),
            lambda: open("/no/such/file"),  # noqa: PTH123, SIM115
            lambda: os.stat("/no/such/file"),  # noqa: PTH116
            lambda: time.sleep("x"),  # type: ignore[arg-type]
            lambda: socket.socket.recv(None, 1),  # type: ignore[arg-type]
            lambda: io.FileIO.read(None),  # type: ignore[arg-type]
        ):
            try:
                action()
            except Exception:
                found.append(traceback.format_exc())
        return found

    without, with_them = fail(), []

    async def main() -> None:
        with_them.extend(fail())

    record(tmp_path / "t", main, blocking_calls=True)

    assert 7 == len(without)
    assert without == with_them == fail()


# ---------------------------------------------------------------------- coming and going


@native
def test_everything_is_given_back(tmp_path: Path) -> None:
    """After the end no builtin is exchanged, nor importlib's function."""
    import importlib._bootstrap as importlib

    before = importlib.__dict__["_find_and_load"]
    config = RecorderConfig(directory=tmp_path)
    with recorder.start(config) as it:
        during = importlib.__dict__["_find_and_load"]
        count = it.statistics()["calls_wrapped"]
    after = core.unwrap_calls()

    assert count > 100
    assert during is not before
    assert importlib.__dict__["_find_and_load"] is before
    assert 0 == after


@native
def test_what_another_put_over_ours_stays(tmp_path: Path) -> None:
    """Someone who patches importlib after us keeps it, and it goes on to work."""
    import importlib._bootstrap as importlib

    before = importlib.__dict__["_find_and_load"]
    try:
        with recorder.start(RecorderConfig(directory=tmp_path)):
            ours = importlib.__dict__["_find_and_load"]

            def theirs(*args: Any) -> Any:
                return ours(*args)

            importlib.__dict__["_find_and_load"] = theirs
        assert importlib.__dict__["_find_and_load"] is theirs
        with pytest.raises(ModuleNotFoundError):
            __import__("no_such_mod")
    finally:
        importlib.__dict__["_find_and_load"] = before


@native
def test_a_forked_child_times_imports_once() -> None:
    """It inherits the parent's function, which its own recorder does not wrap again."""
    importer = core.importer(len)

    assert importer is not len
    assert importer is core.importer(importer)
    assert 3 == importer("abc")


LATE = """
import asyncio, sys, time
from pathlib import Path
from tachograph import recorder
assert "_sqlite3" not in sys.modules
it = recorder.start(recorder.RecorderConfig(directory=Path(sys.argv[1])))
before = it.statistics()["calls_wrapped"]
import sqlite3
it.flush()
print(it.statistics()["calls_wrapped"] - before)
it.close()
"""


@native
def test_modules_that_come_later_are_timed_too(tmp_path: Path) -> None:
    """Nothing is imported to be timed; what the program loads is, from the next turn on."""
    done = subprocess.run(
        [sys.executable, "-c", LATE, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert int(done.stdout) >= 14


@native
def test_a_call_that_goes_on_when_the_recorder_ends(tmp_path: Path) -> None:
    """It returns what it returns."""
    out, into = os.pipe()
    found = []

    async def main() -> None:
        found.append(os.read(out, 1))

    it = recorder.start(RecorderConfig(directory=tmp_path))
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    time.sleep(WAIT_S)
    it.close()
    os.write(into, b"x")
    thread.join(10)
    os.close(out)
    os.close(into)

    assert [b"x"] == found


@native
def test_a_full_memory_counts_what_it_drops(tmp_path: Path) -> None:
    """2,048 calls wait for the drain at most."""
    config = RecorderConfig(directory=tmp_path, drain_interval_s=60)

    async def main() -> None:
        core.time_calls(1, PurePosixPath)
        for _ in range(2_060):
            os.getrandom(1)

    with recorder.start(config) as it:
        asyncio.run(main())
        counts = it.statistics()

    assert counts["calls_dropped"] >= 12
    assert counts["calls_noted"] == 2_048


@native
@pytest.mark.parametrize(
    ("builtin", "reason"),
    [(lambda: None, "a function, no builtin"), (int, "a type, no builtin")],
)
def test_what_is_no_builtin_is_refused(builtin: object, reason: str) -> None:
    """With the reason."""
    assert reason == core.wrap_call(builtin, "x", 0, None)


@pytest.mark.skipif(is_native, reason="the native core times calls")
def test_without_the_native_core_it_says_so() -> None:
    """In the recorder's problems."""
    with pytest.raises(Unavailable, match="native core"):
        Calls(SourcesConfig()).start()


# ---------------------------------------------------------------------- details


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        (None, None),
        ("/etc/hosts", "/etc/hosts"),
        (b"/etc/\xff", "/etc/\\udcff"),
        (PurePosixPath("/tmp/x"), "/tmp/x"),
        (7, "fd 7"),
        (("localhost", 80), "localhost:80"),
        (("localhost", None), "localhost"),
        (("::1", 80, 0, 0), "::1:80"),
        ((b"/usr/local/bin/true", b"/usr/bin/true"), "true"),
        ((b"/bin/true",), "/bin/true"),
        ((), None),
        ("", None),
        ("x" * 300, "x" * 200),
    ],
)
def test_details(detail: object, text: str | None) -> None:
    """What the call was about, as text."""
    assert text == detail_text(detail)
