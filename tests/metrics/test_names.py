"""Names on the wire, and what CloudWatch is told of a field."""

from __future__ import annotations

import enum
from typing import Any

import pytest

import tachograph as tg
from tachograph.errors import DeclarationError
from tachograph.formats.plan import FieldPlan
from tachograph.testing import capture_events

META: Any = type(tg.WideEvent)


def plans(cls: Any) -> tuple[FieldPlan, ...]:
    """The emitted fields of a record class."""
    found: tuple[FieldPlan, ...] = cls.__wide_event__.fields
    return found


def names(cls: Any) -> list[str]:
    """The emitted names of a record class."""
    return [plan.emitted for plan in plans(cls)]


def test_a_field_in_kebab_case() -> None:
    """Words are joined as the class's style does [NM-1], an exact name is as it is [NM-2]."""

    class Root(tg.WideEvent, rename="kebab-case"):
        foo_bar: int = 0
        other: int = tg.metric(0, name="correct_correct")

    assert ["foo-bar", "correct_correct"] == names(Root)


class Value(tg.WideEvent):
    value: int = 0
    exact: int = tg.metric(0, name="foo")


class Val(tg.WideEvent):
    inner: Value = tg.slot(prefix="val_")


def test_a_prefix_of_a_childs_class_covers_its_own_fields_not_exact_names() -> None:
    """A snake child keeps its style and prefix in a kebab parent [NM-3]."""

    class Child(tg.WideEvent, rename="snake_case", prefix="prefix_"):
        a: int = 0
        b: int = tg.metric(0, name="name")

    class Root(tg.WideEvent, rename="kebab-case"):
        child: Child = tg.slot()

    assert ["prefix_a", "name"] == names(Root)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("PascalCase", ["NestedValValue", "NestedValfoo"]),
        ("snake_case", ["nested_val_value", "nested_val_foo"]),
        ("kebab-case", ["nested-val-value", "nested-val-foo"]),
    ],
)
def test_prefixes_at_the_place_of_use_cover_everything_below(
    style: str, expected: list[str]
) -> None:
    """Each is shaped by the record that gives it; exact names get them too [NM-6, NM-7, NM-8]."""

    class Root(tg.WideEvent, rename=style):
        nested: Val = tg.slot(prefix="nested_")

    assert expected == names(Root)


def test_each_prefix_has_the_style_of_its_owner() -> None:
    """A kebab prefix before a Pascal child with a prefix of its own [NM-9]."""

    class Inner(tg.WideEvent):
        value: int = 0

    class Child(tg.WideEvent, rename="PascalCase"):
        inner: Inner = tg.slot(prefix="bar-")

    class Root(tg.WideEvent, rename="kebab-case"):
        child: Child = tg.slot(prefix="foo-x-")

    assert ["foo-x-BarValue"] == names(Root)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (None, "downstreamsuccess"),
        ("PascalCase", "DownstreamSuccess"),
        ("kebab-case", "downstream-success"),
        ("snake_case", "downstream_success"),
    ],
)
def test_a_prefix_joins_as_the_style_does(style: str | None, expected: str) -> None:
    """Preserve joins as written, the others by their joint [NM-12]."""

    class Downstream(tg.WideEvent):
        success: bool = False

    class Root(tg.WideEvent, rename=style):
        downstream: Downstream = tg.slot(prefix="downstream")

    assert [expected] == names(Root)


def test_the_childs_own_style_wins() -> None:
    """A kebab child in a Pascal root [NM-13]."""

    class Child(tg.WideEvent, rename="kebab-case"):
        read_data: int = 0

    class Root(tg.WideEvent, rename="PascalCase"):
        child: Child = tg.slot()

    assert ["read-data"] == names(Root)


@pytest.mark.parametrize(
    ("style", "attribute", "expected"),
    [
        ("camelCase", "request_id", "requestId"),
        ("SCREAMING_SNAKE_CASE", "sub_field", "SUB_FIELD"),
        ("PascalCase", "p99_ms", "P99Ms"),
        ("snake_case", "HTTPServer", "http_server"),
    ],
)
def test_words_and_styles(style: str, attribute: str, expected: str) -> None:
    """Children without a style take their record's [NM-19, NM-20, NM-21]."""
    body = META.__prepare__("Child", (tg.WideEvent,))
    body["__annotations__"][attribute] = int
    body[attribute] = 0
    child: Any = META("Child", (tg.WideEvent,), body)

    class Root(tg.WideEvent, rename=style):
        child_: child = tg.slot()

    assert [expected] == names(Root)


def test_the_class_prefix_covers_children_too() -> None:
    """Otherwise than the model's, which surprises people there."""

    class Child(tg.WideEvent):
        rows: int = 0

    class Root(tg.WideEvent, rename="snake_case", prefix="api"):
        own: int = 0
        exact: int = tg.metric(0, name="exactly")
        child: Child = tg.slot(prefix="db")

    assert ["api_own", "exactly", "api_db_rows"] == names(Root)


def test_two_fields_of_one_name_are_refused() -> None:
    """`a_b` and `aB` in kebab case; the message names both [NM-22]."""
    with pytest.raises(DeclarationError, match=r"aB: emits 'a-b' like `Root\.a_b`"):

        class Root(tg.WideEvent, rename="kebab-case"):
            a_b: int = 0
            aB: int = 0  # noqa: N815


def test_a_name_that_cloudwatch_would_refuse() -> None:
    """Metric names have at most 255 characters."""
    with pytest.raises(DeclarationError, match="at most 255 characters, got 256"):

        class Root(tg.WideEvent):
            a: int = tg.metric(0, name="x" * 256)


class Status(enum.Enum):
    FAULT = 0
    FINE = 1


class Operation(enum.Enum):
    COUNT_DUCKS = "ducks"


def test_enums_as_numbers_and_by_value() -> None:
    """A numeric enum is a metric; the others are renamed names or their values [TY-8, TY-9]."""

    class Root(tg.WideEvent, rename="PascalCase"):
        operation: Operation = Operation.COUNT_DUCKS
        raw: Operation = tg.metric(Operation.COUNT_DUCKS, by_value=True)
        status: Status = tg.metric(Status.FAULT, numeric=True)

    with capture_events() as events, Root():
        pass

    assert ("CountDucks", "ducks", 0) == tuple(list(events.one(Root).values())[2:])
    assert ["property", "property", "metric"] == [plan.kind for plan in plans(Root)]


@pytest.mark.parametrize(
    ("annotation", "options", "message"),
    [
        (str, {"numeric": True}, "`numeric` and `by_value` are for enums"),
        (Operation, {"numeric": True}, "needs members whose values are int"),
        (str, {"log_only": True}, "are for metrics; `str` is none here"),
        (int, {"as_property": True, "dimensions": {"a": "b"}}, "are for metrics"),
        (int, {"dimensions": {"": "b"}}, "1 to 250 ASCII characters"),
        (int, {"dimensions": {"b": " "}}, "dimension 'b' has no value"),
        (int, {"dimensions": {"a": "b"}}, "dimension 'a' is the name of a metric"),
        (int, {"dimensions": {"_aws": "b"}}, "does not start with a colon or `_`"),
        (str, {"unit": tg.Unit.BYTES}, "`str` has no unit"),
    ],
)
def test_options_that_do_not_fit_the_type(
    annotation: Any, options: dict[str, Any], message: str
) -> None:
    """Said at the declaration, with what was expected [TY-7]."""
    field: Any = tg.metric
    with pytest.raises(DeclarationError, match=message):

        class Root(tg.WideEvent):
            a: annotation = field(**options)


def test_dimension_sets_are_checked() -> None:
    """A misspelt name is told with the nearest one, a metric is refused [GD-2, GD-3]."""
    with pytest.raises(DeclarationError) as caught:

        class Root(
            tg.WideEvent, rename="PascalCase", dimensions=[["Statuss"], ["Rows"], ["Status"]]
        ):
            status: str = ""
            rows: int = 0

    assert "'Statuss' is no emitted name of a field. Did you mean 'Status'?" in str(caught.value)
    assert "'Rows' is a metric; only a property can be one" in str(caught.value)
    assert 2 == str(caught.value).count("\n")


def test_inherited_dimension_sets_are_checked_against_the_new_names() -> None:
    """A subclass that renames the fields must say its dimension sets again [GD-2]."""

    class Base(tg.WideEvent, dimensions=[["status"]]):
        status: str = ""

    with pytest.raises(DeclarationError, match="'status' is no emitted name of a field"):

        class Root(Base, rename="PascalCase"):
            rows: int = 0


@pytest.mark.parametrize(
    ("dimensions", "message"),
    [
        ([], "Give at least one set"),
        ([["A", "A"]], "names something twice"),
    ],
)
def test_sets_that_group_by_nothing(dimensions: Any, message: str) -> None:
    """An empty list of sets, a name twice."""
    with pytest.raises(DeclarationError, match=message):

        class Root(tg.WideEvent, dimensions=dimensions):
            A: str = ""


@pytest.mark.parametrize(("count", "fine"), [(30, True), (31, False)])
def test_a_set_has_at_most_thirty_dimensions(*, count: int, fine: bool) -> None:
    """30 are accepted, 31 are not [SP-10]."""
    fields = [f"f{n}" for n in range(count)]
    body = META.__prepare__("Root", (tg.WideEvent,))
    for field in fields:
        body["__annotations__"][field] = str
        body[field] = ""

    def define() -> Any:
        return META("Root", (tg.WideEvent,), body, dimensions=[fields])

    if fine:
        assert (tuple(fields),) == define().__wide_event__.plan.dimensions
    else:
        with pytest.raises(DeclarationError, match="at most 30 names, got 31"):
            define()


def test_flags_by_class_field_and_place_of_use() -> None:
    """A field's own word wins over its class's, that over the place of use [GD-4]."""

    class Silent(tg.WideEvent, high_resolution=False):
        a: int = 0

    class Plain(tg.WideEvent):
        b: int = 0
        c: int = tg.metric(0, log_only=False)

    class Root(tg.WideEvent, high_resolution=True):
        own: int = 0
        removed: int = tg.metric(0, high_resolution=False)
        text: str = ""
        watch = tg.stopwatch()
        silent: Silent = tg.slot(log_only=True)
        plain: Plain = tg.slot(log_only=True)

    flags = {p.emitted: (p.high_resolution, p.log_only) for p in plans(Root)}

    assert {
        "own": (True, False),
        "removed": (False, False),
        "text": (False, False),
        "watch": (True, False),
        "a": (False, True),
        "b": (True, True),
        "c": (True, False),
    } == flags


def test_a_stopwatch_that_counts() -> None:
    """The number of its spans is written beside their sum, absent like it."""

    class Root(tg.WideEvent, rename="PascalCase"):
        db = tg.stopwatch(count=True)

    with capture_events() as events:
        with Root() as root:
            for _ in range(3):
                with root.db:
                    pass
        with Root():
            pass

    assert 3 == events.all(Root)[0]["DbCount"]
    assert "DbCount" not in events.all(Root)[1]
