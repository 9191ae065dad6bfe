"""Writing the methods of a record class as straight-line Python for exactly its fields.

The source is visible: `inspect.getsource(RequestMetrics._finish)` prints it. Variables in it:
`self` and `r` are the record, `r_handler` its child `handler`, `now` monotonic nanoseconds, `ended`
those at the end of the scope (earlier for a record that was held), `error` the exception that ended
the scope.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from tachograph._base.clock import clock
from tachograph._base.compile import compile_functions
from tachograph._core import native
from tachograph.formats.plan import Notes, RecordPlan
from tachograph.metrics.declaration import Declared
from tachograph.metrics.fields import (
    MISSING,
    GaugeSpec,
    InstrumentSpec,
    ManySpec,
    MetricSpec,
    OutcomeSpec,
    StopwatchSpec,
    TimerSpec,
    TimestampSpec,
)
from tachograph.metrics.instruments import outcome_of, qualified_name
from tachograph.metrics.life import CHILD, DONE, HELD, NEW, OPEN
from tachograph.metrics.output import SAMPLED_OUT, choose, emit
from tachograph.metrics.plan import Closing, PartlyError, hidden
from tachograph.metrics.statistics import statistics

__all__ = ["careful_closer", "constructor", "has_state", "needs_arguments", "scope_methods"]


def has_state(spec: object) -> bool:
    """Tell whether an instrument keeps something in a hidden slot."""
    return isinstance(spec, TimerSpec | StopwatchSpec | ManySpec | OutcomeSpec)


def _new(cls: Any) -> Any:
    """Return a record of *cls* whose slots are empty."""
    return cls.__new__(cls)


def constructor(class_name: str, fields: Sequence[Declared]) -> Callable[..., None]:
    """Return `__init__`: one keyword per plain field and child, nothing positional."""
    parameters: list[str] = []
    names: dict[str, object] = {"MISSING": MISSING, "new": _new, "NEW": NEW, "CHILD": CHILD}
    body = _initial("self", fields, names, parameters)
    signature = f"self, *, {', '.join(parameters)}" if parameters else "self"
    source = f"def __init__({signature}):\n" + "".join(f"    {line}\n" for line in body)
    return compile_functions(source, names, label=f"{class_name}.__init__")["__init__"]


def _initial(
    target: str, fields: Sequence[Declared], names: dict[str, object], parameters: list[str] | None
) -> list[str]:
    """Return statements that fill a new record; a child's stand in its parent's constructor.

    Args:
        target: The variable that holds the record.
        fields: Its fields.
        names: Receives what the statements refer to.
        parameters: Receives the constructor's; None for a child, which starts with its defaults.
    """
    state = "NEW" if target == "self" else "CHILD"
    body = [f"{target}._state = {state}"]
    if native is None:  # a native record begins with these
        empty = ("_more", "_outer", "_token")
        body += [f"{target}._started_ns = {target}._time_ns = 0"]
        body += [f"{' = '.join(f'{target}.{name}' for name in empty)} = None"]
    for field in fields:
        attribute = field.attribute
        name = attribute if target == "self" else f"{target}_{attribute}"
        slot = f"{target}.{attribute}"
        match field.spec:
            case MetricSpec(default_factory=factory) if factory is not None:
                names[f"make_{name}"] = factory
                if parameters is None:
                    body.append(f"{slot} = make_{name}()")
                else:
                    parameters.append(f"{name}=MISSING")
                    body.append(f"{slot} = make_{name}() if {name} is MISSING else {name}")
            case MetricSpec(default=default) if default is not MISSING:
                names[f"default_{name}"] = default
                if parameters is None:
                    body.append(f"{slot} = default_{name}")
                else:
                    parameters.append(f"{name}=default_{name}")
                    body.append(f"{slot} = {name}")
            case MetricSpec():
                assert parameters is not None  # a child without defaults is made by its class
                parameters.append(name)
                body.append(f"{slot} = {name}")
            case InstrumentSpec() as spec:
                if has_state(spec):
                    body.append(f"{target}.{hidden(attribute)} = None")
            case _:
                body += _initial_child(field, slot, name, names, parameters)
    return body


def _initial_child(
    field: Declared,
    slot: str,
    name: str,
    names: dict[str, object],
    parameters: list[str] | None,
) -> list[str]:
    names[f"class_{name}"] = field.child
    child = f"r_{name}"
    below: Sequence[Declared] = field.child.__wide_event__.declared
    if needs_arguments(below):  # raises, and says which
        made = [f"{child} = class_{name}()"]
    else:
        made = [f"{child} = new(class_{name})", *_initial(child, below, names, None)]
    if parameters is not None:
        parameters.append(f"{name}=MISSING")
        made = [
            f"if {name} is MISSING:",
            *(f"    {line}" for line in made),
            "else:",
            f"    {child} = {name}",
            f"    {child}._state = CHILD",
        ]
    return [*made, f"{slot} = {child}"]


def needs_arguments(fields: Sequence[Declared]) -> bool:
    """Tell whether a record of these fields cannot be made without arguments."""
    return any(
        isinstance(f.spec, MetricSpec) and f.spec.default is MISSING and not f.spec.default_factory
        for f in fields
    )


def scope_methods(
    plan: RecordPlan,
    fields: Sequence[Declared],
    closing: Sequence[Closing],
    children: Sequence[tuple[str, str]],
    done: Callable[[str], type],
) -> dict[str, Callable[..., Any]]:
    """Return `_opened` and `_finish` of a record class.

    Args:
        plan: The class as formats see it.
        fields: Its declared fields.
        closing: How each emitted field closes.
        children: Its children below it, parents first, as (path of the parent, attribute).
        done: Gives the class that a record, or a child by its dotted path, becomes after emission.
    """
    gauges = [f for f in fields if isinstance(f.spec, GaugeSpec)]
    at_close = any(isinstance(f.spec, TimestampSpec) and f.spec.at == "close" for f in fields)
    names: dict[str, object] = {
        "clock": clock,
        "suppress": contextlib.suppress,
        "emit": emit,
        "choose": choose,
        "SAMPLED_OUT": SAMPLED_OUT,
        "OPEN": OPEN,
        "HELD": HELD,
        "DONE": DONE,
        "PLAN": plan,
        "statistics": statistics,
        "outcome_of": outcome_of,
        "qualified_name": qualified_name,
        "close_carefully": careful_closer(closing),
        "Done": done(""),
    }
    for c in closing:
        names |= c.names
    locate: list[str] = ["r = self"]
    start: list[str] = []
    retire: list[str] = []
    for parent, attribute in children:
        path = f"{parent}.{attribute}".removeprefix("self.")
        variable = "r_" + path.replace(".", "_")
        owner = "r" if parent == "self" else "r_" + parent.removeprefix("self.").replace(".", "_")
        names[f"Done_{variable}"] = done(path)
        locate.append(f"{variable} = {owner}.{attribute}")
        start.append(f"{variable}._started_ns = started_ns")
        retire.append(f"{variable}.__class__ = Done_{variable}")
    up, down = [], []
    for field in gauges:
        gauge = f"gauge_{field.attribute}"
        names[gauge] = field.spec.counter  # type: ignore[union-attr]
        up.append(f"{gauge}.add(1)")
        down.append(f"{gauge}.add(-1)")
    values = "".join(f"\n                    {c.expression}," for c in closing)
    # Children end with their record, also one that was discarded or could not be read.
    abandon = ["with suppress(AttributeError):", *(f"    {line}" for line in [*locate, *retire])]
    source = "\n".join(
        [
            "def _opened(self):",
            "    started_ns = self._started_ns",
            *(f"    {line}" for line in [*locate, *start, *up]),
            "",
            "def _finish(self, now, error, ended=None):",
            "    more = self._more",
            "    if more is not None and more.waits(self, now, error):",
            "        return",
            "    if ended is None:",
            "        ended = now",
            "    values = None",
            "    if self._state == OPEN or self._state == HELD:",
            *(["        self._time_ns = clock.time_ns()"] if at_close else []),
            "        weights = choose(self, error, ended - self._started_ns)",
            "        self._state = DONE",
            "        if weights is SAMPLED_OUT:",
            *(f"            {line}" for line in abandon),
            "        else:",
            "            try:",
            *(f"                {line}" for line in locate),
            f"                values = ({values}",
            "                )",
            "                notes = None",
            *(f"                {line}" for line in retire),
            "            except Exception:",
            "                values, notes = close_carefully(self, now, error, ended)",
            *(f"                {line}" for line in abandon),
            "            if more is not None:",
            "                values, notes = more.complete(PLAN, values, notes)",
            "    else:",
            "        statistics.discarded += 1",
            *(f"        {line}" for line in abandon),
            *(f"    {line}" for line in down),
            "    self.__class__ = Done",
            # Last, since it raises in strict mode.
            "    if values is not None:",
            "        emit(PLAN, self._time_ns, values, notes, weights)",
            "",
        ]
    )
    functions = compile_functions(source, names, label=f"{plan.name} scope")
    return {"_opened": functions["_opened"], "_finish": functions["_finish"]}


def _value_of(record: object, attribute: str) -> object:
    try:
        return attrgetter(attribute)(record)
    except Exception:  # noqa: BLE001 -- it is only asked for a message
        return None


def careful_closer(
    closing: Sequence[Closing],
) -> Callable[..., tuple[tuple[Any, ...], Notes]]:
    """Return a function that closes field by field, so that one that fails costs only itself.

    It takes the record, monotonic nanoseconds, the scope's error and when the scope ended.
    """
    names: dict[str, object] = {"outcome_of": outcome_of, "qualified_name": qualified_name}
    for c in closing:
        names |= c.names
    parts = []
    for index, c in enumerate(closing):
        *path, _ = c.plan.attribute.split(".")
        variable = "_".join(("r", *path))
        parts.append(f"def close_{index}(self, now, error, ended):\n")
        parts.append(f"    {variable} = {'.'.join(('self', *path))}\n    return {c.expression}\n")
    functions = compile_functions("".join(parts), names, label="careful close") if parts else {}
    closers = [(c.plan, functions[f"close_{index}"]) for index, c in enumerate(closing)]

    def close_carefully(
        record: object, now: int, error: BaseException | None, ended: int
    ) -> tuple[tuple[Any, ...], Notes]:
        values: list[Any] = []
        errors: list[str] = []
        for plan, close in closers:
            try:
                values.append(close(record, now, error, ended))
            except PartlyError as failure:
                values.append(failure.value)
                errors.append(f"{plan.emitted}: {failure}"[:200])
            except Exception as failure:  # noqa: BLE001 -- a bad value costs its field only
                statistics.close_errors += 1
                values.append(None)
                reason = f"{type(failure).__name__}: {failure}"[:200]
                value = _value_of(record, plan.attribute)
                if isinstance(failure, TypeError) and not hasattr(value, "__tachograph_close__"):
                    reason = str(failure)
                    if plan.type in ("list", "float") and "promised" not in reason:
                        expected = plan.python_type or plan.type
                        reason = f"expected {expected}, got {type(value).__name__}"
                errors.append(f"{plan.emitted}: {reason}")
        return tuple(values), Notes(errors=tuple(errors))

    return close_carefully
