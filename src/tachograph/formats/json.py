"""Flat JSON: one object a line, scalars and arrays only, in the declared order.

Strategy: for each record class one function is generated that is a single f-string over the values.
It assumes that everything is as declared and small; whatever is not raises or shows in the length,
and then `_careful` writes the line again, field by field, with what went wrong in the trailer.

    {"timestamp":T,"record":"Class", globals, fields (children in place), trailer}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from tachograph._base.compile import compile_functions
from tachograph._base.ratelimit import warn_once
from tachograph._core import native as core
from tachograph.formats.careful import Tally, extra_pieces, fit, pieces_of, trailer
from tachograph.formats.observations import MANY
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan
from tachograph.formats.text import double, escape, quote, rfc3339
from tachograph.formats.values import MAX_TEXT, text_of, writer_of

__all__ = ["RESERVED", "Encoder", "FlatJson", "mark_dropped", "native_field"]

Encoder = Callable[[int, tuple[Any, ...], Notes | None], bytes]

_PLAIN_INT = 10**15
# Integers closer to zero are written as they are; the writer looks at the others.

RESERVED = frozenset(("timestamp", "record"))
"""Names of the head, which no field may emit."""


def mark_dropped(line: bytes, count: int) -> bytes:
    """Return *line*, a JSON object and a newline, with `"_dropped":count` as its last member.

    A line that is no such object is returned as it is.
    """
    if not line.endswith(b"}\n"):
        return line
    comma = b"" if line == b"{}\n" else b","
    return b'%b%b"_dropped":%d}\n' % (line[:-2], comma, count)


class FlatJson:
    """The default format.

    Args:
        globals: Properties written on every record before its own fields, in this order: service
            name, version, host. A record's field of the same emitted name wins.
        max_line: The longest line in bytes, newline included.
        native: Encode by the native core (True), by its twin in Python (False), or by whichever is
            there (None). Both make the same bytes.
    """

    name = "flat"
    mark_dropped = staticmethod(mark_dropped)

    def __init__(
        self,
        globals: Mapping[str, object] | None = None,
        *,
        max_line: int = 262_144,
        native: bool | None = None,
    ) -> None:
        self._native = core is not None if native is None else native
        self.globals = dict(globals or {})
        """Properties written on every record."""
        self._max_line = max_line
        self.tally = Tally()
        """Counts of values that could not be written."""

    def encoder(self, plan: RecordPlan) -> Encoder:
        """Return the function that writes closed records of *plan* as one line each.

        It takes the start time in nanoseconds since 1970, the values in the plan's order and the
        notes, and never raises.
        """
        if any(field.type in MANY for field in plan.fields):
            return self._careful_encoder(plan)
        if self._native:
            return self._native_encoder(plan)
        source, names = self._source(plan)
        names["_careful"] = self._careful_encoder(plan)
        functions = compile_functions(source, names, label=f"{plan.name} as flat JSON")
        return cast("Encoder", functions["encode"])

    def _native_encoder(self, plan: RecordPlan) -> Encoder:
        if core is None:
            msg = "The native core is not here: it was not built, or TACHO_PURE is set."
            raise RuntimeError(msg)
        return core.LineEncoder(
            f'",{self._head(plan)}'.encode(),
            [native_field(field) for field in plan.fields],
            self._careful_encoder(plan),
            self._max_line,
        )

    def _head(self, plan: RecordPlan) -> str:
        """Return what stands between the timestamp and the first field."""
        parts = [f'"record":{quote(plan.name)}']
        for name, value in self.globals.items():
            if name in plan.written_names or name in RESERVED:
                warn_once(
                    f"global {plan.name} {name}",
                    f"{plan.name} emits a field {name!r} of its own, so the global of that name is "
                    "left out of its records. Rename one of them.",
                )
                continue
            parts.append(f"{quote(name)}:{text_of(value)}")
        return ",".join(parts)

    def _source(self, plan: RecordPlan) -> tuple[str, dict[str, object]]:
        names: dict[str, object] = {
            "rfc3339": rfc3339,
            "double": double,
            "escape": escape,
            "NONE": "",
        }
        lines = [
            _literal('{"timestamp":"') + "{rfc3339(time_ns)}" + _literal('",' + self._head(plan))
        ]
        for index, field in enumerate(plan.fields):
            lines.append(_field_source(index, field, names))
        body = "\n".join(f"            f'{line}'" for line in lines)
        variables = "".join(f"v{index}, " for index in range(len(plan.fields)))
        unpack = f"        ({variables}) = values\n" if variables else ""
        source = (
            "def encode(time_ns, values, notes):\n"
            f'    """Write one {plan.name} as a line of flat JSON."""\n'
            "    if notes is not None:\n"
            "        return _careful(time_ns, values, notes)\n"
            "    try:\n"
            f"{unpack}"
            "        line = (\n"
            f"{body}\n"
            "            '}\\n'\n"
            "        ).encode()\n"
            "    except Exception:\n"
            "        return _careful(time_ns, values, notes)\n"
            # No property can be too long in a line that is shorter than the limit of one.
            f"    if len(line) > {min(MAX_TEXT, self._max_line)}:\n"
            "        return _careful(time_ns, values, notes)\n"
            "    return line\n"
        )
        return source, names

    def _careful_encoder(self, plan: RecordPlan) -> Encoder:
        writers = [(field, quote(field.emitted), writer_of(field)) for field in plan.fields]
        head = self._head(plan)
        max_line = self._max_line
        tally = self.tally
        taken = plan.written_names | RESERVED | self.globals.keys()

        def careful(time_ns: int, values: tuple[Any, ...], notes: Notes | None) -> bytes:
            notes = notes or Notes()
            errors = list(notes.errors)
            truncated: list[str] = []
            start = f'{{"timestamp":"{rfc3339(time_ns)}",{head}'
            pieces = pieces_of(writers, values, notes, errors, truncated, tally)
            if notes.extra:
                pieces += extra_pieces(notes.extra, taken, errors, tally)

            def line() -> bytes:
                last = trailer(notes, truncated, errors)
                fields = "".join(f",{piece.key}:{piece.text}" for piece in pieces)
                rest = "".join(f',"{name}":{text}' for name, text in last)
                return f"{start}{fields}{rest}}}\n".encode()

            return fit(line, pieces, truncated, errors, max_line, tally)

        return careful


def native_field(
    field: FieldPlan,
) -> tuple[bytes, int, bool, tuple[tuple[Any, bytes], ...] | None, Callable[[Any], str], int]:
    """Return what the native encoder needs to know of a field."""
    labels = None
    kinds = {"str": core.STR, "bool": core.BOOL, "int": core.INT, "float": core.FLOAT}
    if field.labels is not None:
        kind = core.ENUM
        labels = tuple((member, quote(label).encode()) for member, label in field.labels.items())
    elif field.to_text is not None:
        kind = core.OTHER
    elif field.unit_ns is not None and field.unit_ns >= 1_000:
        kind = core.DURATION
    elif field.as_property:
        kind = core.INT_TEXT if field.type == "int" else core.OTHER
    else:
        kind = kinds.get(field.type, core.OTHER)
    key = f",{quote(field.emitted)}:".encode()
    return key, kind, field.optional, labels, writer_of(field), field.unit_ns or 1


def _literal(text: str) -> str:
    """Return *text* as it must stand between the quotes of an f-string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return escaped.replace("{", "{{").replace("}", "}}")


def _field_source(index: int, field: FieldPlan, names: dict[str, object]) -> str:
    """Return the part of the f-string that writes one field, and add to *names* what it needs."""
    variable = f"v{index}"
    expression = _expression(index, field, names)
    key = f",{quote(field.emitted)}:"
    if not field.optional:
        return f"{_literal(key)}{{{expression}}}"
    names[f"k{index}"] = key
    return f"{{NONE if {variable} is None else k{index} + ({expression})}}"


def _expression(  # noqa: PLR0911 -- one return a kind of value reads best
    index: int, field: FieldPlan, names: dict[str, object]
) -> str:
    """Return an expression for the value's text: the usual case inline, the writer for the rest."""
    variable = f"v{index}"
    writer = f"w{index}"
    names[writer] = writer_of(field)
    if field.labels is not None:
        # By identity: members are singletons, and hashing one by its name costs three times more.
        names[f"labels{index}"] = {id(m): quote(label) for m, label in field.labels.items()}
        return f"labels{index}.get(id({variable})) or {writer}({variable})"
    is_int = f"{variable}.__class__ is int and {-_PLAIN_INT} < {variable} < {_PLAIN_INT}"
    is_float = f"{variable}.__class__ is float"
    if field.to_text is not None:
        return f"{writer}({variable})"
    if field.as_property:
        if field.type != "int":
            return f"{writer}({variable})"
        names["QUOTE"] = '"'
        return f"QUOTE + str({variable}) + QUOTE if {is_int} else {writer}({variable})"
    if field.unit_ns is not None:
        return f"double({variable} / {field.unit_ns})"
    match field.type:
        case "str":
            return f"escape({variable})"
        case "bool":
            return (
                f'"true" if {variable} is True else "false" if {variable} is False '
                f"else {writer}({variable})"
            )
        case "int":
            text = f"str({variable})" if field.optional else variable
            return f"{text} if {is_int} else {writer}({variable})"
        case "float":
            # What `double` does for most numbers, without the call.
            return (
                f"repr({variable}) if {is_float} and 0.0001 <= {variable} < 1e16 "
                f"and not {variable}.is_integer() else "
                f"double({variable}) if {is_float} else {writer}({variable})"
            )
        case _:
            return f"{writer}({variable})"
