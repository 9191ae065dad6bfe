"""Counts of what happened to records; each lossy place has one."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tachograph._base.ratelimit import warn_once
from tachograph._core import native

__all__ = ["MetricsStatistics", "statistics"]


@dataclass(slots=True)
class MetricsStatistics:
    """What became of the records of this process.

    Attributes:
        emitted_by_python: Handed to at least one destination, or to a test's capture, other than
            by the native core; `emitted` counts both.
        sampled_out: Left out by every destination's sampler.
        sampling_errors: Records kept because a sampler failed.
        nan_observations: NaN given to a distribution, mean or histogram; skipped.
        observations_rejected: Values given to one that are no numbers; skipped.
        distributions_folded: Distributions that had too many observations to keep them all.
        discarded: Ended by `discard()`.
        pending_dropped: Lost because no destination was configured and the buffer was full.
        late_writes: Assignments to a record that had been emitted, observations added to it, spans
            started in it; ignored.
        orphan_writes: Assignments to a current record outside any scope; ignored.
        late_holds: Holds taken from a record that had been emitted; they hold nothing.
        holds_expired: Holds that were not released in time.
        children_opened_twice: Children that were asked for a second time.
        leaked_records: Emitted because their scope never ended.
        close_errors: Fields that could not be read when their record closed.
        emit_errors: Records lost because a destination raised.
        strict: What is wrong raises instead of being counted; for tests.
    """

    emitted_by_python: int = 0
    sampled_out: int = 0
    sampling_errors: int = 0
    nan_observations: int = 0
    observations_rejected: int = 0
    distributions_folded: int = 0
    discarded: int = 0
    pending_dropped: int = 0
    late_writes: int = 0
    orphan_writes: int = 0
    late_holds: int = 0
    holds_expired: int = 0
    children_opened_twice: int = 0
    leaked_records: int = 0
    close_errors: int = 0
    emit_errors: int = 0
    strict: bool = False

    @property
    def emitted(self) -> int:
        """Records handed to at least one destination, or to a test's capture."""
        return self.emitted_by_python + (0 if native is None else native.emitted())

    def counts(self) -> dict[str, int]:
        """Return every count by its name."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "strict"}
        found.pop("emitted_by_python")
        return {"emitted": self.emitted, **found}

    def late(self, what: str) -> None:
        """Note *what* was done to a record that was emitted before."""
        self.late_writes += 1
        if self.strict:
            msg = f"{what} after the record was emitted."
            raise RuntimeError(msg)

    def orphan(self, name: str, attribute: str) -> None:
        """Note an assignment to a current record where no scope is open."""
        self.orphan_writes += 1
        if self.strict:
            msg = f"{name}.{attribute} was assigned outside any scope of {name}."
            raise RuntimeError(msg)
        warn_once(
            f"orphan {name}",
            f"{name}.current() was used where no {name} is open, so what was written to it is "
            "lost. Open one around this code: in a service, put the route behind the record "
            "middleware; "
            "in an executor, pass the record or use asyncio.to_thread.",
        )


statistics = MetricsStatistics()
if native is not None:
    native.on_late(statistics.late)
