"""Processes whose allocations are sampled: allocators of all kinds, threads, forks, the end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.recorder.reading import segments, tell

from tachograph.recorder.core import is_native
from tachograph.trace.heap import live

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_native, reason="the native core is not built"),
]

HEAD = """
import gc, os, sys, threading, tracemalloc, warnings, zlib
from tachograph import recorder
from tachograph.recorder.core import core

off = {name: False for name in ("cpu_profile", "blocked_profile", "watchdog")}

def start(rate=4096, **settings):
    sources = recorder.SourcesConfig(
        memory_profile=True, memory_sample_rate_bytes=rate, memory_live_set=True, **off
    )
    config = recorder.RecorderConfig(
        directory=sys.argv[1], drain_interval_s=0.005, sources=sources, **settings
    )
    return recorder.start(config)

def churn(times=20):
    kept = []
    for number in range(times):
        kept += [bytearray(n) for n in range(1, 2000, 37)]
        kept.append({n: str(n) for n in range(100)})
        del kept[:: 1 + number % 3]
        raw = zlib.compressobj(1)  # its memory is of the raw domain, and used without the GIL
        raw.compress(bytes(100_000))
"""


def run(
    program: str, directory: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program behind HEAD; it has a minute."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", HEAD + textwrap.dedent(program), directory],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(environment or {})},
    )


EVERYTHING = """
threads = [threading.Thread(target=churn, args=(60,)) for _ in range(4)]
for thread in threads: thread.start()
for times in range(3):  # comes and goes while they allocate
    with start() as recording:
        churn()
        if times == 1:
            tracemalloc.start()
            churn()
    churn()
    if times == 1:
        tracemalloc.stop()
for thread in threads: thread.join()
counts = recording.statistics()
assert not recording.problems, recording.problems
assert counts["heap_sampled"] > 100 and not counts["source_failures"], counts
assert not core.heap_is_seen()
gc.collect()
print("done")
"""


@pytest.mark.parametrize("allocator", ["default", "debug", "malloc", "malloc_debug", "pymalloc"])
def test_it_stands_before_every_allocator(tmp_path: Path, allocator: str) -> None:
    """Comes and goes under load, with tracemalloc above it, in four threads."""
    done = run(EVERYTHING, tmp_path, {"PYTHONMALLOC": allocator})

    assert ("done\n", "", 0) == (done.stdout, done.stderr, done.returncode)


def test_it_stands_above_what_was_there_before(tmp_path: Path) -> None:
    """As long as that does not end before the recorder."""
    program = """
        tracemalloc.start()
        with start() as recording:
            churn()
        assert tracemalloc.get_traced_memory()[0] > 0
        print(recording.statistics()["heap_displaced"])
    """
    done = run(program, tmp_path)

    assert ("0\n", "", 0) == (done.stdout, done.stderr, done.returncode)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_not_sampled_until_it_starts_its_own(tmp_path: Path) -> None:
    """Also when threads allocate while the parent forks; the parent goes on."""
    program = """
        warnings.simplefilter("ignore", DeprecationWarning)
        threads = [threading.Thread(target=churn, args=(40,)) for _ in range(3)]
        recording = start()
        for thread in threads: thread.start()
        for _ in range(5):
            child = os.fork()
            if child == 0:
                assert not core.heap_is_seen()
                churn(20)
                with start() as own:
                    churn(20)
                assert own.statistics()["heap_sampled"] > 10
                os._exit(7)
            assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert core.heap_is_seen()
        for thread in threads: thread.join()
        recording.close()
        print("done")
    """
    done = run(program, tmp_path)

    assert ("done\n", "", 0) == (done.stdout, done.stderr, done.returncode)


@pytest.mark.parametrize("end", ["pass", "core.heap_start(1, 1, True)", "tracemalloc.start()"])
def test_the_interpreter_may_end_at_any_moment(tmp_path: Path, end: str) -> None:
    """With the recorder open, a hook that nobody takes away, daemon threads that allocate."""
    program = f"""
        recording = None if "heap_start" in {end!r} else start()
        {end}
        for _ in range(2):
            threading.Thread(target=churn, args=(10**6,), daemon=True).start()
        kept = [bytearray(5000) for _ in range(1000)]
        kept.append(kept)
    """
    done = run(program, tmp_path)

    # From 3.12 on no thread can be made by then that would compress what is sealed: said, no error.
    said = [line for line in done.stderr.splitlines() if "stay uncompressed" not in line]
    assert ("", [], 0) == (done.stdout, said, done.returncode)


def test_what_a_killed_process_kept_is_told(tmp_path: Path) -> None:
    """What was on file by then."""
    program = """
        recording = start(65536)
        def leaky(): return [bytearray(100_000) for _ in range(200)]
        kept = leaky()
        recording.flush()
        os._exit(9)
    """
    done = run(program, tmp_path)
    assert (9, "") == (done.returncode, done.stderr)

    (home,) = tmp_path.iterdir()
    usages = live(tell(segments(home)).sources, 65_536)
    total = sum(usage.bytes for usage in usages.values())
    assert total == pytest.approx(200 * 100_000, rel=0.15)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="subinterpreters have no module there")
def test_other_interpreters_are_left_alone(tmp_path: Path) -> None:
    """One has a GIL of its own, which does not guard what is noted here."""
    program = """
        import _interpreters
        code = "for n in range(100): kept = [bytearray(n) for n in range(1, 3000, 37)]"
        recording = start(512)
        ids = [_interpreters.create() for _ in range(3)]
        threads = [
            threading.Thread(target=_interpreters.run_string, args=(each, code)) for each in ids
        ]
        for thread in threads: thread.start()
        churn(60)
        for thread in threads: thread.join()
        for each in ids: _interpreters.destroy(each)
        assert recording.statistics()["heap_elsewhere"] > 0
        recording.close()
        print("done")
    """
    done = run(program, tmp_path)

    assert ("done\n", "", 0) == (done.stdout, done.stderr, done.returncode)
