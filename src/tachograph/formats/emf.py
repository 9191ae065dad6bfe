"""CloudWatch's embedded metric format: each line is a log event from which metrics are extracted.

    {"_aws":{"CloudWatchMetrics":[D…],"Timestamp":ms}, dimensions, metrics, properties, trailer}

Strategy: a record is taken apart into metrics (each with its observations and how often each
occurred) and properties; metrics are grouped by their own dimensions, groups are cut to what
CloudWatch takes (`emf_split`), and every line repeats the properties. Nothing is cut silently.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tachograph._base.clock import clock
from tachograph._base.ratelimit import warn_once
from tachograph._core import native as core
from tachograph.formats.careful import (
    Piece,
    Tally,
    extra_pieces,
    fit,
    is_excused,
    pieces_of,
    trailer,
)
from tachograph.formats.cloudwatch import (
    MAX_DEFINITIONS,
    MAX_DIMENSION_VALUE,
    MAX_DIMENSIONS,
    UNITS,
    WINDOW_NS,
    EmfConfig,
    in_range,
    json_names,
    usable_dimension,
)
from tachograph.formats.emf_split import Metric, split
from tachograph.formats.json import mark_dropped, native_field
from tachograph.formats.observations import MANY, counted
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan
from tachograph.formats.text import quote
from tachograph.formats.values import NotANumberError, text_of, writer_of

__all__ = ["Emf", "EmfTally"]

_COUNT_MAX = 2**64 - 1
_PART = f',"_id":"{"0" * 16}","_part":999,"_parts":999'
# What a line that is one of several says besides, as long as it may get.


@dataclass(slots=True)
class EmfTally(Tally):
    """What EMF could not write, or CloudWatch will not take.

    Attributes:
        oversized_sets: Dimension sets of more than 30 names, of the classes met so far; records are
            written without these.
        dimensionless: Lines whose every dimension set missed a value, so that no metric is made.
        non_ascii_dimensions: Dimension values that are not ASCII; what CloudWatch does is unknown.
        timestamp_out_of_window: Records older than two weeks or more than two hours ahead, whose
            metrics CloudWatch drops.
    """

    oversized_sets: int = 0
    dimensionless: int = 0
    non_ascii_dimensions: int = 0
    timestamp_out_of_window: int = 0


class Emf:
    """Lines of the embedded metric format; a record may take several.

    Args:
        config: Where CloudWatch puts the metrics.
        native: Write plain records by the native core (True), all in Python (False), or by
            whichever is there (None). Both make the same bytes.
    """

    name = "emf"
    mark_dropped = staticmethod(mark_dropped)

    def __init__(self, config: EmfConfig, *, native: bool | None = None) -> None:
        self._native = core is not None if native is None else native
        self._config = config
        self.globals = config.globals
        """Properties written on every record."""
        self.tally = EmfTally()
        """Counts of values that could not be written."""

    def problems(self, plan: RecordPlan) -> list[str]:
        """Return what is wrong between the configuration and a record class, as sentences."""
        return self._config.problems(plan)

    def encoder(self, plan: RecordPlan) -> Callable[[int, tuple[Any, ...], Notes | None], bytes]:
        """Return the function that writes closed records of *plan*; it never raises.

        Dimension sets that are too large with the configured ones are left out, which is counted
        and warned of once.
        """
        encoder = _Encoder(self._config, plan, self.tally)
        if self._native and encoder.is_plain(plan):
            return encoder.native(plan)
        return encoder.encode


class _Encoder:
    """Writes records of one class."""

    def __init__(self, config: EmfConfig, plan: RecordPlan, tally: EmfTally) -> None:
        self._config = config
        self._tally = tally
        self._sets = config.sets(plan.dimensions)
        if problems := config.problems(plan):
            tally.oversized_sets += len(problems)
            warn_once(f"emf sets {plan.name}", f"Left out of every record: {' '.join(problems)}")
        self._directives = [(directive, directive.text()) for directive in config.directives]
        is_metric = [field.kind == "metric" for field in plan.fields]
        self._metrics = [
            (index, field, writer_of(field))
            for index, field in enumerate(plan.fields)
            if is_metric[index]
        ]
        properties = [i for i, found in enumerate(is_metric) if not found]
        self._properties = properties
        self._writers = [
            (plan.fields[i], quote(plan.fields[i].emitted), writer_of(plan.fields[i]))
            for i in properties
        ]
        self._taken = plan.written_names | {"_aws"}
        self._globals: list[Piece] = []
        for name, value in config.globals.items():
            if name in self._taken:
                warn_once(
                    f"global {plan.name} {name}",
                    f"{plan.name} emits a field {name!r} of its own, so the global of that name is "
                    "left out of its records. Rename one of them.",
                )
                continue
            self._globals.append(self._global(plan, name, value))
        self._end = "" if config.log_group is None else f'"LogGroupName":{quote(config.log_group)},'

    def _global(self, plan: RecordPlan, name: str, value: object) -> Piece:
        """Return a global; one that is a dimension is cut to what CloudWatch takes, once."""
        kept = value
        if any(name in names for names in self._sets):
            if isinstance(value, str) and len(value) > MAX_DIMENSION_VALUE:
                kept = value[:MAX_DIMENSION_VALUE]
                self._tally.truncated += 1
                warn_once(
                    f"emf global {plan.name} {name}",
                    f"The global {name!r} is a dimension and has {len(value)} characters; "
                    f"CloudWatch takes {MAX_DIMENSION_VALUE}, so it is cut.",
                )
            if not text_of(kept).isascii():
                self._tally.non_ascii_dimensions += 1
        return Piece(name, quote(name), text_of(kept), None)

    def encode(self, time_ns: int, values: tuple[Any, ...], notes: Notes | None) -> bytes:
        """Return the lines of one record."""
        notes = notes or Notes()
        errors = list(notes.errors)
        truncated: list[str] = []
        self._check_time(time_ns)
        metrics = self._observed(values, notes, errors)
        own = [values[i] for i in self._properties]
        pieces = pieces_of(self._writers, own, notes, errors, truncated, self._tally)
        taken = self._taken | self._config.globals.keys()
        pieces += extra_pieces(notes.extra, taken, errors, self._tally)
        groups: dict[tuple[tuple[str, str], ...], list[Metric]] = {}
        for metric in metrics:
            if metric.dimensions:
                groups.setdefault(metric.dimensions, []).append(metric)
        base = [metric for metric in metrics if not metric.dimensions]
        if base or not groups:
            groups[()] = base
        lines: list[bytes] = []
        milliseconds = max(0, time_ns // 1_000_000)
        for dimensions, members in groups.items():
            rest = [p for p in pieces if p.name not in dict(dimensions)]
            line = _Line(self, milliseconds, dimensions, rest, notes, truncated, errors)
            lines += self._lines_of(line, members)
        return b"".join(lines)

    def is_plain(self, plan: RecordPlan) -> bool:
        """Tell whether most records of the class take one line of a known form."""
        properties = {f.emitted for f in plan.fields if f.kind == "property"}
        fixed = {p.name for p in self._globals if _is_dimension(p.text)}
        wanted = {name for names in self._sets for name in names}
        metrics = [field for _, field, _ in self._metrics]
        return (
            not self._config.directives
            and bool(self._sets)
            and wanted <= properties | fixed
            and all(name.isascii() and '"' not in quote(name)[1:-1] for name in wanted)
            and sum(not field.log_only for field in metrics) <= MAX_DEFINITIONS
            and not any(field.type in MANY or field.dimensions for field in metrics)
        )

    def native(self, plan: RecordPlan) -> Callable[[int, tuple[Any, ...], Notes | None], bytes]:
        """Return the native encoder of the class, which leaves what is unusual to this one."""
        order = [index for index, _, _ in self._metrics] + self._properties
        definitions = [b""] * len(plan.fields)
        fields = [native_field(field) for field in plan.fields]
        for index, field, write in self._metrics:
            if not field.log_only:
                definitions[index] = definition(field).encode()
            key, kind, optional, labels, _, unit_ns = fields[index]
            kind = core.BIT if field.type == "bool" else kind
            fields[index] = (key, kind, optional, labels, _in_range(write), unit_ns)
        numbers = {field.emitted: index for index, field in enumerate(plan.fields)}
        wanted = {name for names in self._sets for name in names}
        sets = json_names(self._sets)
        opens = [
            f'{{"Namespace":{quote(name)},"Dimensions":{sets},"Metrics":['.encode()
            for name in self._config.namespaces
        ]
        return core.LineEncoder(
            b"",
            fields,
            self.encode,
            # Whether a longer line is cut is for the careful one to say, which reckons with a part.
            self._config.max_line - len(_PART),
            (
                tuple(opens),
                tuple(definitions),
                tuple(order),
                len(self._metrics),
                "".join(f",{p.key}:{p.text}" for p in self._globals).encode(),
                f'],{self._end}"Timestamp":'.encode(),
                tuple(numbers[name] for name in wanted if name in numbers),
            ),
        )

    def _check_time(self, time_ns: int) -> None:
        earliest, latest = WINDOW_NS
        if not earliest <= time_ns - clock.time_ns() <= latest:
            self._tally.timestamp_out_of_window += 1
            warn_once(
                "emf timestamp",
                "A record is more than two weeks old or two hours ahead: CloudWatch drops its "
                "metrics. Look at this machine's clock.",
            )

    def _observed(self, values: tuple[Any, ...], notes: Notes, errors: list[str]) -> list[Metric]:
        """Return the metrics that have a value, in the order of the declaration."""
        found = []
        sampled = notes.rate is not None
        for index, field, write in self._metrics:
            value = values[index]
            if value is None and is_excused(field, notes):
                continue
            try:
                if field.type in MANY:
                    observed = counted(field, value)
                    if not observed:
                        continue
                    plain = False
                else:
                    text = write(value)
                    observed, plain = [(_BITS.get(text, text), 1)], True
            except NotANumberError:
                self._tally.nan_skipped += 1
            except Exception as error:  # noqa: BLE001 -- a bad value costs its field only
                self._tally.encode_errors += 1
                errors.append(f"{field.emitted}: {str(error)[:200] or type(error).__name__}")
            else:
                weighted = [
                    (in_range(text), min(count * notes.weight, _COUNT_MAX))
                    for text, count in observed
                ]
                merged = weighted if plain else _merged(weighted)
                found.append(Metric(field, quote(field.emitted), merged, plain and not sampled))
        return found

    def _lines_of(self, line: _Line, members: list[Metric]) -> list[bytes]:
        """Return the lines for one set of dimensions, each of a size that CloudWatch takes."""
        groups = split(members, lambda group: line.size(group) <= self._config.max_line)
        if len(groups) == 1:
            return [line.fitted(groups[0], None)]
        identity = os.urandom(8).hex()
        return [
            line.fitted(group, (identity, number, len(groups)))
            for number, group in enumerate(groups, 1)
        ]


class _Line:
    """What the lines of one record with the same dimensions have in common."""

    def __init__(
        self,
        encoder: _Encoder,
        milliseconds: int,
        dimensions: tuple[tuple[str, str], ...],
        pieces: list[Piece],
        notes: Notes,
        truncated: list[str],
        errors: list[str],
    ) -> None:
        self._encoder = encoder
        self._milliseconds = milliseconds
        self._own = dimensions
        self._pieces = pieces
        self._notes = notes
        self._truncated = list(truncated)
        self._errors = list(errors)
        self._sets = self._usable_sets()

    def _usable_sets(self) -> tuple[tuple[str, ...], ...]:
        """Return the dimension sets whose every name has a value in this line."""
        encoder = self._encoder
        wanted = {name for names in encoder._sets for name in names}
        usable = {name for name, _ in self._own}
        usable |= {p.name for p in encoder._globals if _is_dimension(p.text)}
        for piece in self._pieces:
            if piece.name in wanted and _is_dimension(piece.text):
                usable.add(piece.name)
                self._shorten(piece)
        extra = tuple(name for name, _ in self._own)
        found = [
            (*(n for n in names if n not in extra), *extra)
            for names in encoder._sets
            if usable.issuperset(names) and len({*names, *extra}) <= MAX_DIMENSIONS
        ]
        if not found:
            encoder._tally.dimensionless += 1
        return tuple(dict.fromkeys(found))

    def _shorten(self, piece: Piece) -> None:
        if not piece.text.isascii():
            self._encoder._tally.non_ascii_dimensions += 1
        value = piece.value
        if isinstance(value, str) and len(value) > MAX_DIMENSION_VALUE:
            piece.value = value[:MAX_DIMENSION_VALUE]
            piece.text = quote(piece.value)
            self._encoder._tally.truncated += 1
            if piece.name not in self._truncated:
                self._truncated.append(piece.name)

    def _text(self, pieces: Sequence[Piece], part: tuple[str, int, int] | None) -> bytes:
        encoder = self._encoder
        metrics = [piece.value for piece in pieces if isinstance(piece.value, Metric)]
        before = [p for p in encoder._globals if p.name not in dict(self._own)]
        ordered = [*pieces[: len(metrics)], *before, *pieces[len(metrics) :]]
        members = [f"{quote(name)}:{quote(value)}" for name, value in self._own]
        members += [f"{piece.key}:{piece.text}" for piece in ordered]
        last = trailer(self._notes, self._truncated, self._errors, part)
        members += [f'"{name}":{text}' for name, text in last]
        head = (
            f'{{"_aws":{{"CloudWatchMetrics":[{",".join(self._directives(metrics))}],'
            f'{encoder._end}"Timestamp":{self._milliseconds}}}'
        )
        return f"{','.join((head, *members))}}}\n".encode()

    def _directives(self, metrics: Sequence[Metric]) -> list[str]:
        if not self._sets:
            return []
        encoder = self._encoder
        definitions = ",".join(definition(m.field) for m in metrics if not m.field.log_only)
        sets = json_names(self._sets)
        found = [
            f'{{"Namespace":{quote(name)},"Dimensions":{sets},"Metrics":[{definitions}]}}'
            for name in encoder._config.namespaces
        ]
        if encoder._directives:
            names = {m.field.emitted for m in metrics}
            texts = {p.name for p in (*encoder._globals, *self._pieces)} | dict(self._own).keys()
            found += [
                text
                for directive, text in encoder._directives
                if names & directive.metrics.keys()
                and all(name in texts for wanted in directive.dimensions for name in wanted)
            ]
        return found

    def _with(self, metrics: Sequence[Metric]) -> list[Piece]:
        found = [Piece(m.field.emitted, m.key, m.text(), m) for m in metrics]
        return found + [replace(piece) for piece in self._pieces]

    def size(self, metrics: Sequence[Metric]) -> int:
        """Return the bytes of a line with these metrics, newline not included."""
        return len(self._text(self._with(metrics), None)) - 1 + len(_PART)

    def fitted(self, metrics: Sequence[Metric], part: tuple[str, int, int] | None) -> bytes:
        """Return the line, shortened if it is still too long."""
        pieces = self._with(metrics)
        limit = self._encoder._config.max_line + 1
        return fit(
            lambda: self._text(pieces, part),
            pieces,
            self._truncated,
            self._errors,
            limit,
            self._encoder._tally,
        )


def definition(field: FieldPlan) -> str:
    """Return a metric's definition as JSON text."""
    unit = f',"Unit":"{field.unit}"' if field.unit in UNITS else ""
    resolution = ',"StorageResolution":1' if field.high_resolution else ""
    return f'{{"Name":{quote(field.emitted)}{unit}{resolution}}}'


def _is_dimension(text: str) -> bool:
    """Tell whether a value, given as JSON text, can be a dimension's."""
    if not text.startswith('"'):
        return False
    return usable_dimension(json.loads(text) if "\\" in text else text[1:-1])


_BITS = {"true": "1", "false": "0"}


def _in_range(write: Callable[[Any], str]) -> Callable[[Any], str]:
    def number(value: Any) -> str:
        text = write(value)
        return in_range(_BITS.get(text, text))

    return number


def _merged(observed: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for text, count in observed:
        counts[text] = min(counts.get(text, 0) + count, _COUNT_MAX)
    return list(counts.items())


# ruff: noqa: SLF001 -- a line is a part of its encoder
