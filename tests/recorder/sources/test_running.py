"""Sources are contained: one that fails costs itself only."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.running import Source, Sources


class Log:
    """A source that keeps what happens to it, and raises where it is told to."""

    def __init__(self, name: str, raises: str = "") -> None:
        self.name = name
        self.raises = raises
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.raises:
            msg = f"no {name} here"
            raise RuntimeError(msg)

    def start(self) -> None:
        self._call("start")

    def turn(self, now_ns: int) -> None:
        self._call("turn")

    def stop(self) -> None:
        self._call("stop")

    def metadata(self) -> dict[str, str]:
        self._call("metadata")
        return {self.name: "on"}

    def counts(self) -> dict[str, Any]:
        self._call("counts")
        return {f"{self.name}_count": 1}


def running(*sources: Source | None) -> Sources:
    """Return sources that are these."""
    return Sources(SourcesConfig(), [lambda _, source=source: source for source in sources])  # type: ignore[misc]


def test_a_life() -> None:
    """Started, given turns, ended in the other order; what is not wanted is left out."""
    first, second = Log("first"), Log("second")
    sources = running(first, None, second)
    sources.start()
    sources.turn(5)

    assert {"first": "on", "second": "on"} == sources.metadata()
    sources.stop()
    sources.turn(6)
    assert ["start", "turn", "metadata"] == first.calls[:3]
    assert 1 == second.calls.count("turn")
    assert {"source_failures": 0, "first_count": 1, "second_count": 1} == sources.counts()


def test_one_that_cannot_start() -> None:
    """It is told with the reason, gets no turn, and the others work."""
    bad, good = Log("bad", "start"), Log("good")
    sources = running(bad, good)
    sources.start()
    sources.turn(1)

    assert {"bad": "no start here"} == sources.problems
    assert (["start"], ["start", "turn"]) == (bad.calls, good.calls)
    assert "no start here" == sources.metadata()["tachograph.problem.bad"]


@pytest.mark.parametrize("where", ["turn", "metadata", "counts", "stop"])
def test_one_that_raises(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """That turn's events of it are lost, counted and told; others go on (recorder.md row 14)."""
    bad, good = Log("bad", where), Log("good")
    sources = running(bad, good)
    sources.start()
    sources.turn(1)
    sources.metadata()
    sources.counts()
    sources.stop()

    assert sources.failures
    assert {"start", "turn", "metadata", "counts", "stop"} == set(good.calls)
    assert "source bad failed" in caplog.text


def test_a_child_has_none() -> None:
    """After a fork they are the parent's: no turn, no end (recorder.md row 26)."""
    source = Log("one")
    sources = running(source)
    sources.start()
    sources.forget()
    sources.turn(1)
    sources.stop()

    assert ["start"] == source.calls
