"""How an interpreter begins and ends, and what it does besides: nothing is lost or said."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import Told, segments, tell

from tachograph.recorder.core import is_native

pytestmark = pytest.mark.slow  # each is a process of its own

HEAD = """
import asyncio, atexit, gc, os, signal, sys, threading, time
from pathlib import Path
from tachograph import recorder

@recorder.event
def turned(n: int) -> None: ...

async def work(turns):
    for n in range(turns):
        await asyncio.sleep(0)
        turned(n)

config = recorder.RecorderConfig(
    directory=Path(sys.argv[1]), sources=recorder.SourcesConfig.none()
)
it = recorder.start(config)
"""


def run(
    directory: Path, source: str, *options: str, code: int = 0, says: str = ""
) -> tuple[Told, Path]:
    """Run a program under the recorder; return what its segments tell, and their directory."""
    done = subprocess.run(
        [sys.executable, *options, "-c", HEAD + source, str(directory)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert code == done.returncode, done.stderr
    if says:
        assert says in done.stderr
    else:
        assert "" == done.stderr
    (home,) = directory.iterdir()
    return tell(segments(home)), home


def assert_whole(told: Told, home: Path, turns: int) -> None:
    """All events are there, and the recorder ended in order."""
    assert list(range(turns)) == [event["n"] for event in told.own]
    assert "true" == told.metadata["segment.sealed_clean"]
    assert all(path.suffix == ".gz" for path in home.iterdir())


@pytest.mark.parametrize("options", [(), ("-X", "dev"), ("-W", "error"), ("-O",), ("-I",)], ids=str)
def test_a_recorder_that_nobody_closes(options: tuple[str, ...], tmp_path: Path) -> None:
    """The interpreter's end closes it; nothing is said, with all of Python's checks on too."""
    if "-I" in options:
        found = subprocess.run(
            [sys.executable, "-I", "-c", "import tachograph"], capture_output=True, check=False
        )
        if found.returncode:
            pytest.skip("the package is found by a variable here, which -I leaves aside")
    told, home = run(tmp_path, "asyncio.run(work(300))", *options)

    assert_whole(told, home, 300)
    assert told.events > 300


def test_exit_handlers_of_the_program_are_recorded(tmp_path: Path) -> None:
    """Those that it registered after the start run before the recorder's, in Python's order."""
    source = "atexit.register(lambda: turned(1))\nturned(0)\n"
    told, home = run(tmp_path, source)

    assert_whole(told, home, 2)


def test_exit_handlers_after_the_end_do_no_harm(tmp_path: Path) -> None:
    """What runs when the recorder has ended finds it ended; another starts if threads still do."""
    source = (
        "it.close()\n"
        "def late():\n"
        "    turned(9)\n"
        "    asyncio.run(work(3))\n"
        "    assert not it.is_enabled and recorder.dump() is None\n"
        "    try:\n"
        "        threading.Thread(target=int).start()\n"
        "    except RuntimeError:\n"
        "        others = sorted(config.directory.iterdir())\n"
        "        try:\n"
        "            recorder.start(config)\n"
        "        except RuntimeError as error:\n"
        "            assert 'shutdown' in str(error)\n"
        "        assert others == sorted(config.directory.iterdir())\n"
        "    else:\n"
        "        recorder.start(config).close()\n"
        "atexit.register(late)\n"
        "it = recorder.start(config)\n"
        "turned(0)\nit.close()\n"
    )
    told, home = run(tmp_path, source)

    assert_whole(told, home, 1)


def test_daemon_threads_with_loops_at_the_end(tmp_path: Path) -> None:
    """A loop that still turns in a daemon thread is cut off; what it did is on file."""
    source = """
ready = threading.Event()
async def for_ever():
    while True:
        await asyncio.sleep(0)
        ready.set()
threading.Thread(target=asyncio.run, args=(for_ever(),), daemon=True).start()
ready.wait()
asyncio.run(work(100))
"""
    told, home = run(tmp_path, source)

    assert_whole(told, home, 100)
    assert 2 == len(told.lanes)


def test_a_loop_that_was_never_closed(tmp_path: Path) -> None:
    """Its tasks are destroyed at the end, after the recorder."""
    source = """
loop = asyncio.new_event_loop()
task = loop.create_task(asyncio.sleep(60))
task._log_destroy_pending = False
loop.run_until_complete(work(100))
"""
    told, home = run(tmp_path, source)

    assert_whole(told, home, 100)


@pytest.mark.parametrize(
    ("ending", "code", "says"),
    [
        ("sys.exit(3)", 3, ""),
        ("raise ZeroDivisionError", 1, "ZeroDivisionError"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt"),
        ("os.kill(os.getpid(), signal.SIGINT)\n    await asyncio.sleep(60)",
         -signal.SIGINT, "KeyboardInterrupt"),
    ],
    ids=["exit", "error", "interrupt", "signal"],
)  # fmt: skip
def test_a_step_that_ends_the_program(ending: str, code: int, says: str, tmp_path: Path) -> None:
    """The exception goes its way; what was recorded before is whole."""
    source = f"async def main():\n    await work(50)\n    {ending}\nasyncio.run(main())\n"
    told, home = run(tmp_path, source, code=code, says=says)

    assert_whole(told, home, 50)


def test_an_end_without_handlers_is_recovered(tmp_path: Path) -> None:
    """`os._exit` runs nothing: the next start finds what is in the ring."""
    source = "asyncio.run(work(100))\nit.flush()\nasyncio.run(work(7))\nos._exit(0)\n"
    before, home = run(tmp_path, source)
    assert 100 == len(before.own)
    subprocess.run(
        [sys.executable, "-c", HEAD + "it.close()", str(tmp_path)], check=True, timeout=60
    )

    after = tell(segments(home))
    assert 100 == len(after.own)
    assert is_native == (after.events > before.events)


@pytest.mark.parametrize(
    ("first", "after"),
    [("gc.freeze()", "gc.unfreeze()"), ("gc.disable()", "gc.enable()"),
     ("gc.set_debug(gc.DEBUG_SAVEALL)", "gc.set_debug(0)"), ("gc.set_threshold(1)", "")],
)  # fmt: skip
def test_whatever_the_collector_does(first: str, after: str, tmp_path: Path) -> None:
    """Frozen, off, saving all, or at every object: each step is recorded once."""
    source = f"{first}\nasyncio.run(work(300))\ngc.collect()\n{after}\nasyncio.run(work(0))\n"
    told, home = run(tmp_path, source)

    assert_whole(told, home, 300)


@pytest.mark.parametrize("tracer", ["sys.settrace(trace)", "sys.setprofile(trace)"])
def test_while_a_tracer_runs(tracer: str, tmp_path: Path) -> None:
    """Its calls are the program's; each step is recorded once."""
    source = f"""
seen = set()
def trace(frame, event, argument):
    seen.add(frame.f_code.co_name)
    return trace
{tracer}
asyncio.run(work(100))
sys.settrace(None), sys.setprofile(None)
assert "work" in seen
"""
    told, home = run(tmp_path, source)

    assert_whole(told, home, 100)


def test_debug_mode_may_change_while_the_loop_runs(tmp_path: Path) -> None:
    """Each handle is of the mode in which it was queued; every step is recorded."""
    source = """
async def main():
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 60
    for n in range(60):
        loop.set_debug(n % 3 == 1)
        await asyncio.sleep(0)
        await asyncio.create_task(asyncio.sleep(0))
        loop.call_soon(turned, n)
    loop.set_debug(False)
    await asyncio.sleep(0)
asyncio.run(main())
"""
    told, home = run(tmp_path, source)
    names = {
        spawn.task: told.names[1, spawn.name] for each in told.spawns.values() for spawn in each
    }
    steps = [step for each in told.steps.values() for step in each if not step.flags & 4]
    of: dict[str, int] = {}
    for step in steps:
        name = names[step.task].rpartition(".")[2]
        of[name] = of.get(name, 0) + 1

    assert_whole(told, home, 60)
    assert 120 == of["sleep"]  # two steps each, spawned in whichever mode
    assert 60 == told.callback_steps(".turned")


def test_a_signal_handler_within_a_step(tmp_path: Path) -> None:
    """It runs in the middle of a step and may record, dump and ask."""
    source = """
told = []
def handler(number, frame):
    turned(100)
    told.append((recorder.is_enabled(), recorder.statistics()["enabled"]))
signal.signal(signal.SIGUSR1, handler)
async def main():
    for n in range(20):
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0)
asyncio.run(main())
assert told == [(True, True)] * 20
"""
    told, _ = run(tmp_path, source)

    assert 20 == len(told.own)


def test_pausing_and_resuming_under_load(tmp_path: Path) -> None:
    """From another thread, at any moment: no step is told twice, and none is left open."""
    source = """
stop = threading.Event()
def toggle():
    while not stop.is_set():
        recorder.pause()
        time.sleep(0.0005)
        recorder.resume()
        time.sleep(0.0005)
thread = threading.Thread(target=toggle)
thread.start()
asyncio.run(work(3_000))
stop.set()
thread.join()
"""
    told, _ = run(tmp_path, source)
    (steps,) = told.steps.values()
    numbers: list[Any] = [event["n"] for event in told.own]

    assert numbers == sorted(set(numbers))
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(steps))
    assert [] == told.open_steps
