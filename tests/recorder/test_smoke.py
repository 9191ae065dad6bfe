"""The smoke test: what it finds, and that it may be asked at any time."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import segments, tell
from tests.recorder.test_recording import busy, start

from tachograph import recorder
from tachograph.recorder import SmokeTest
from tachograph.recorder.core import is_native


def states(test: SmokeTest) -> dict[str, str]:
    """The state of each part."""
    return {check.name: check.state for check in test.checks}


def detail(test: SmokeTest, name: str) -> str:
    """What is told of a part."""
    return next(check.detail for check in test.checks if check.name == name)


def test_all_is_well(tmp_path: Path) -> None:
    """A probe event is on file, and every part is told."""
    it, home = start(tmp_path)
    asyncio.run(busy(8))
    test = recorder.smoke_test()
    it.close()
    told = tell(segments(home))

    assert test.healthy
    expected = dict.fromkeys(
        ("recording", "steps", "last moments", "losses", "segments", "compression"), "ok"
    )
    if not is_native:
        expected |= {"steps": "degraded", "last moments": "degraded"}
    assert expected == states(test)
    assert str(home) in detail(test, "recording")
    assert 1 == len([event for event in told.own if event.name == "tacho:Probe"])


def test_without_a_recorder_it_failed(tmp_path: Path) -> None:
    """Not started, or stopped: nothing is recorded, which a probe has to know."""
    assert {"recording": "failed"} == states(recorder.smoke_test())
    it, _ = start(tmp_path)
    assert it.smoke_test().healthy
    it.close()

    assert {"recording": "failed"} == states(it.smoke_test())
    assert not recorder.smoke_test().healthy


def test_paused_is_disabled_and_healthy(tmp_path: Path) -> None:
    """Somebody wants it so; what was found before the pause does not stand."""
    it, _ = start(tmp_path)
    assert "ok" == states(it.smoke_test())["recording"]
    it.pause()
    test = it.smoke_test()
    assert ("disabled", True) == (states(test)["recording"], test.healthy)
    it.enable()
    assert "ok" == states(it.smoke_test())["recording"]


def test_what_was_found_is_good_for_a_while(tmp_path: Path) -> None:
    """It is the same object then, and no probe is put in; without an age it is made anew."""
    it, home = start(tmp_path)
    first = it.smoke_test()
    for _ in range(1_000):
        assert first is it.smoke_test()
    assert first is not it.smoke_test(max_age_s=0)
    it.close()

    assert 2 == len([e for e in tell(segments(home)).own if e.name == "tacho:Probe"])


def test_many_threads_may_ask_at_once(tmp_path: Path) -> None:
    """One of them tests, the others get what it found."""
    it, home = start(tmp_path)
    found: list[SmokeTest] = []
    threads = [
        threading.Thread(target=lambda: found.append(recorder.smoke_test())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    it.close()

    assert [found[0]] * 8 == found
    assert found[0].healthy
    assert 1 == len([e for e in tell(segments(home)).own if e.name == "tacho:Probe"])


def test_a_disk_that_takes_nothing_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe is lost, and the segments say why."""

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    it, _ = start(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        test = it.smoke_test()

    assert not test.healthy
    assert ("failed", "failed") == (states(test)["recording"], states(test)["segments"])
    assert "no room on the disk" in detail(test, "segments")
    assert "degraded" == states(test)["losses"]


def test_a_stalled_disk_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline the recording failed, whatever the disk does later."""
    let_go = threading.Event()
    stock = os.write

    def stalls(file: int, data: bytes) -> int:
        if threading.current_thread().name == "tachograph-drain":
            let_go.wait(60)
        return stock(file, data)

    it, _ = start(tmp_path, drain_interval_s=0.001)
    monkeypatch.setattr(os, "write", stalls)
    began = time.monotonic()
    try:
        test = it.smoke_test(deadline_s=0.05)
        took = time.monotonic() - began
    finally:
        let_go.set()

    assert "failed" == states(test)["recording"]
    assert "not on file within 0.05 s" in detail(test, "recording")
    assert took < 30


def test_losses_are_degraded(tmp_path: Path) -> None:
    """A ring that was full lost events: the recorder works, and something is missing."""
    it, _ = start(tmp_path, ring_events=64, drain_interval_s=30)
    asyncio.run(busy(400))
    it.flush()
    test = it.smoke_test(deadline_s=0)

    assert "degraded" == states(test)["losses"]
    assert "found no room in a ring" in detail(test, "losses")


def test_without_instrumentation_steps_are_disabled(tmp_path: Path) -> None:
    """Which is no failure."""
    it, _ = start(tmp_path, instrument_asyncio=False)
    test = it.smoke_test()

    assert test.healthy
    assert "disabled" == states(test)["steps"]


@pytest.mark.parametrize("fails", [False, True])
def test_at_the_start_it_is_for_the_log_only(
    fails: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service starts and runs, whatever is found; what is wrong is said."""
    if fails:

        def broken(*_: Any) -> Any:
            raise OSError(errno.EIO, "broken")

        monkeypatch.setattr(os, "write", broken)
    said: list[logging.LogRecord] = []
    with caplog.at_level(logging.INFO, logger="tachograph"):
        it, _ = start(tmp_path, smoke_test_at_start=True)
        for _ in range(3_000):
            said = [r for r in caplog.records if "smoke test" in r.message or r.levelno > 30]
            if said:
                break
            time.sleep(0.01)
    assert it.is_enabled

    assert [logging.ERROR if fails else logging.INFO] == sorted({r.levelno for r in said})
    assert fails == any("recording: failed" in r.getMessage() for r in caplog.records)
