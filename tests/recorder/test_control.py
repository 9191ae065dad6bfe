"""The one recorder of a process: its start, its switches, its end."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import names_in, segments, tell

from tachograph import recorder
from tachograph.errors import ConfigError
from tachograph.recorder import RecorderConfig, control
from tachograph.recorder.sources import SourcesConfig


@recorder.event
def hit(n: int) -> None:
    """An event with a number."""


async def nap(times: int = 3) -> None:
    """Make some steps."""
    for _ in range(times):
        await asyncio.sleep(0)


def config(tmp_path: Path, **settings: Any) -> RecorderConfig:
    """Return a configuration for the test's directory."""
    settings = {"sources": SourcesConfig.none(), **settings}
    return RecorderConfig(directory=tmp_path / "traces", service="tests", **settings)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as an error."""
    return [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]


def test_without_a_start_every_call_does_nothing(tmp_path: Path) -> None:
    """Use before the start is a no-op, no exception (recorder.md row 19)."""
    hit(1)
    with recorder.span("s"):
        recorder.pause()
        recorder.resume()

    assert not recorder.is_enabled()
    assert recorder.dump("why") is None
    assert {"enabled": False} == recorder.statistics()
    idle = recorder.current()
    idle.flush()
    idle.enable()
    assert idle.close()
    assert (None, None, None, None) == (
        idle.directory, idle.boot_id, idle.segment_index, idle.config,
    )  # fmt: skip


def test_after_the_end_every_call_does_nothing(tmp_path: Path) -> None:
    """Use after the shutdown is a no-op; the last counts stay (recorder.md row 19)."""
    with recorder.start(config(tmp_path, sources=recorder.SourcesConfig.none())) as it:
        hit(1)
    hit(2)
    it.enable()
    it.pause()
    it.flush()

    assert not it.is_enabled
    assert it.dump() is None
    assert it.close()
    assert (False, 1) == (it.statistics()["enabled"], it.statistics()["own_events_written"])
    assert it.directory is None


def test_a_second_recorder_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One a process: strict raises, the other way logs and is disabled (recorder.md row 20)."""
    with recorder.start(config(tmp_path)) as first:
        with pytest.raises(RuntimeError, match="has a recorder"):
            recorder.start(config(tmp_path))
        second = recorder.recorder_or_disabled(config(tmp_path))

        assert not second.is_enabled
        second.close()
        assert first.is_enabled
        assert recorder.current() is first
    assert 1 == len(errors(caplog))


def test_ending_the_first_makes_room_for_the_next(tmp_path: Path) -> None:
    """A process may record again, under another boot id, and every name is told again."""
    homes = []
    for _ in range(2):
        with recorder.start(config(tmp_path)) as it:
            assert it.directory is not None
            homes.append(it.directory)
            asyncio.run(nap())
    first, second = (tell(segments(home)) for home in homes)

    assert homes[0] != homes[1]
    assert [4, 4] == [_steps_of(told, "nap") for told in (first, second)]
    assert set(first.names.values()) <= set(second.names.values())


def _steps_of(told: Any, name: str) -> int:
    tasks = {
        spawn.task
        for spawns in told.spawns.values()
        for spawn in spawns
        if told.names[1, spawn.name].endswith(f".{name}")
    }
    return sum(s.task in tasks and not s.flags & 4 for each in told.steps.values() for s in each)


def test_a_directory_that_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Strict: an error. Otherwise one error in the log, and the service runs.

    (recorder.md row 1)
    """
    (tmp_path / "traces").write_bytes(b"a file is in the way")
    before = threading.active_count()

    with pytest.raises(OSError, match="traces"):
        recorder.start(config(tmp_path))
    it = recorder.recorder_or_disabled(config(tmp_path))
    assert not it.is_enabled
    with it:
        hit(1)
    assert 1 == len(errors(caplog))
    assert before == threading.active_count()


@pytest.mark.parametrize("part", ["Drain", "Pipeline", "recover_all"])
def test_a_start_that_fails_leaves_nothing(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong at the start: no directory, no thread; the next start works."""

    def fails(*args: object, **named: object) -> None:
        raise RuntimeError(part)

    before = threading.active_count()
    with monkeypatch.context() as patched:
        patched.setattr(f"tachograph.recorder.recording.{part}", fails)
        with pytest.raises(RuntimeError, match=part):
            recorder.start(config(tmp_path))
    assert [] == names_in(tmp_path / "traces")
    assert before == threading.active_count()
    assert not recorder.is_enabled()

    with recorder.start(config(tmp_path)) as it:
        assert it.is_enabled


def test_a_thread_that_cannot_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system without threads to spare costs the recorder, not the service (recorder.md row 1)."""

    def refused(self: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("tachograph.recorder.drain.Drain.start", refused)

    assert not recorder.recorder_or_disabled(config(tmp_path)).is_enabled
    assert [] == names_in(tmp_path / "traces")


def test_from_the_environment(tmp_path: Path) -> None:
    """Only when it is switched on, and configured by it."""
    environ = {"TACHO_TRACE_DIR": str(tmp_path), "TACHO_SERVICE_NAME": "orders"}

    assert not recorder.start_from_env(environ).is_enabled
    with recorder.start_from_env({**environ, "TACHO_ENABLED": "yes"}, ring_events=64) as it:
        assert it.is_enabled
        assert it.config is not None
        assert (tmp_path, "orders", 64) == (
            it.config.directory,
            it.config.service,
            it.config.ring_events,
        )


@pytest.mark.parametrize("settings", [{"ring_events": 5}, {"no_such_field": 1}])
def test_from_the_environment_never_fails(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It returns a disabled recorder, and says why (recorder.md row 1)."""
    it = recorder.start_from_env({"TACHO_ENABLED": "1"}, **settings)

    assert not it.is_enabled
    (error,) = errors(caplog)
    assert next(iter(settings)) in error


def test_a_wrong_configuration_raises() -> None:
    """Before anything is started."""
    with pytest.raises(ConfigError, match="ring_events"):
        recorder.start(RecorderConfig(ring_events=5))


def test_pause_and_resume(tmp_path: Path) -> None:
    """Nothing between the two is recorded; what came before is still written."""
    with recorder.start(config(tmp_path)) as it:
        home = it.directory
        assert home is not None
        hit(1)
        asyncio.run(nap())
        recorder.pause()
        assert not recorder.is_enabled()
        hit(2)
        asyncio.run(nap(100))
        recorder.resume()
        assert recorder.is_enabled()
        hit(3)
    told = tell(segments(home))

    assert [1, 3] == [event["n"] for event in told.own]
    assert 4 == _steps_of(told, "nap")


def test_a_dump_seals_what_was_recorded(tmp_path: Path) -> None:
    """With its reason; recording goes on in the next segment."""
    with recorder.start(config(tmp_path)) as it:
        home = it.directory
        assert home is not None
        assert recorder.dump("nothing yet") is None
        hit(1)
        path = recorder.dump("too slow")
        hit(2)
    assert path == home / "trace.0.bin"
    first, second = (tell([each]) for each in segments(home))

    assert ([1], [2]) == ([e["n"] for e in first.own], [e["n"] for e in second.own])
    assert ("too slow", "true") == (
        first.metadata["dump.reason"],
        first.metadata["segment.sealed_clean"],
    )
    assert "dump.reason" not in second.metadata
    assert "true" == second.metadata["segment.prior_sealed_clean"]


def test_flush_puts_everything_on_file(tmp_path: Path) -> None:
    """In the active segment, which is readable then."""
    with recorder.start(config(tmp_path)) as it:
        assert it.directory is not None
        hit(1)
        it.flush()

        assert [1] == [event["n"] for event in tell(segments(it.directory)).own]


STATISTICS = """
    enabled native lanes events_recorded events_dropped hook_errors own_events_dropped
    names_unwritten lanes_refused rings_in_memory names_callbacks names_spawns names_full
    names_failed tasks_known tasks_adopted tasks_replaced tasks_untracked events_written
    events_lost own_events_written own_events_lost turns failures batches_written bytes_written
    batches_lost segments_sealed segments_abandoned segments_evicted bytes_evicted io_errors
    disk_full_encountered write_stopped_no_space processed uncompressed_bytes compressed_bytes
    vanished failed left segments_recovered
"""


def test_statistics_have_every_count(tmp_path: Path) -> None:
    """Each lossy place has one, and a callback is told them all the time."""
    heard: list[dict[str, Any]] = []
    called = threading.Event()

    def on_turn(statistics: dict[str, Any]) -> None:
        heard.append(statistics)
        called.set()

    with recorder.start(config(tmp_path, drain_interval_s=0.001), on_turn=on_turn):
        assert set(STATISTICS.split()) <= set(recorder.statistics())
        assert called.wait(30)
    assert heard[0].keys() == heard[-1].keys()
    assert heard[0]["enabled"]


def test_a_callback_that_raises_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The recorder goes on without a word more than one (recorder.md row 27)."""
    called = threading.Semaphore(0)

    def on_turn(statistics: dict[str, Any]) -> None:
        called.release()
        raise ZeroDivisionError

    settings = config(tmp_path, drain_interval_s=0.001, sources=recorder.SourcesConfig.none())
    with recorder.start(settings, on_turn=on_turn) as it:
        for _ in range(3):
            assert called.acquire(timeout=30)
        hit(1)
    statistics = it.statistics()

    assert statistics["failures"] >= 2
    assert 1 == statistics["own_events_written"]
    assert 1 == len(caplog.records)


def test_a_callback_may_end_the_recorder(tmp_path: Path) -> None:
    """It runs on the recorder's own thread, which cannot wait for itself."""
    ended = threading.Event()

    def on_turn(statistics: dict[str, Any]) -> None:
        if recorder.is_enabled():  # the first call may come before `start` has returned
            recorder.current().close()
            ended.set()

    it = recorder.start(config(tmp_path, drain_interval_s=0.001), on_turn=on_turn)
    assert ended.wait(30)
    assert not it.is_enabled
    assert control.current().directory is None


def test_two_threads_may_end_it_at_once(tmp_path: Path) -> None:
    """One does it, the other finds it done."""
    it = recorder.start(config(tmp_path))
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(it.close())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [True, True] == answers
