"""Declaring record classes."""

from __future__ import annotations

import enum
import inspect
from typing import Any, ClassVar

import pytest

import tachograph as tg


class Colour(enum.Enum):
    RED = 1


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """One error lists each mistake with its place and the way out [TY-7]."""
    with pytest.raises(TypeError) as caught:

        class Bad(tg.WideEvent, rename="Pascal"):
            text: str = tg.metric("", unit=tg.Unit.BYTES)
            data: bytes = b""
            number: int = "5"  # type: ignore[assignment]
            items: list[str] = []  # noqa: RUF012
            emit: int = 0  # type: ignore[assignment]
            took = tg.timer(unit=tg.Unit.BYTES)

    message = str(caught.value)
    for expected in (
        "rename",
        "Bad.text: `str` has no unit",
        "Bad.data",
        "Bad.number: expected a default of type `int`, got '5'",
        "Bad.items: a list would be shared",
        "Bad.emit: the name is taken",
        "Bad.took: expected a unit of time",
    ):
        assert expected in message


def test_a_field_without_annotation_is_told_with_everything_else() -> None:
    """`metric()` and `slot()` need an annotation; the rest of the class is checked all the same."""
    with pytest.raises(tg.DeclarationError) as caught:

        class Bad(tg.WideEvent):
            items = tg.metric(0)
            child = tg.slot()
            payload: bytes

    assert "Bad.items: a field needs an annotation. Write `name: int = metric" in str(caught.value)
    assert "Bad.child: a field needs an annotation" in str(caught.value)
    assert "Bad.payload: expected bool" in str(caught.value)


@pytest.mark.parametrize("name", ["timestamp", "record", "_aws", ""])
def test_names_of_the_head_and_underscores_are_reserved(name: str) -> None:
    """A field cannot emit a name that the line uses itself, nor an empty one [J-1]."""
    with pytest.raises(tg.DeclarationError if hasattr(tg, "DeclarationError") else TypeError):

        class Bad(tg.WideEvent):
            field: int = tg.metric(0, name=name)


def test_two_fields_with_one_emitted_name_are_refused() -> None:
    """Both attributes are named [NM]."""
    with pytest.raises(TypeError, match=r"emits 'Same' like `Bad\.first`"):

        class Bad(tg.WideEvent):
            first: int = tg.metric(0, name="Same")
            second: int = tg.metric(0, name="Same")


def test_an_undeclared_attribute_fails_at_the_assignment() -> None:
    """Slots: a misspelt name raises where it is written [TY-5]."""

    class Job(tg.WideEvent):
        name: str = ""

    job = Job()
    with pytest.raises(AttributeError):
        job.nmae = "x"  # type: ignore[attr-defined]


def test_unknown_and_missing_arguments_fail() -> None:
    """The constructor has one keyword per field, nothing positional."""

    class Job(tg.WideEvent):
        name: str

    with pytest.raises(TypeError):
        Job()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Job(name="a", other=1)  # type: ignore[call-arg]


def test_fields_are_emitted_in_the_order_of_declaration() -> None:
    """Annotated, assigned and bare fields alike; class variables are no fields."""

    class Job(tg.WideEvent):
        limit: ClassVar[int] = 5
        first: str
        took = tg.timer(unit=tg.Unit.MILLISECONDS)
        second: int = 0
        third: Colour

    assert [field.emitted for field in Job.__wide_event__.fields] == [
        "first",
        "took",
        "second",
        "third",
    ]


def test_a_subclass_extends_its_base() -> None:
    """Inherited fields come first; the style is inherited."""

    class Base(tg.WideEvent, rename="PascalCase"):
        request_id: str

    class Extended(Base):
        row_count: int = 0

    assert [f.emitted for f in Extended.__wide_event__.fields] == ["RequestId", "RowCount"]


def test_generated_source_can_be_read() -> None:
    """`inspect.getsource` prints the compiled methods."""

    class Job(tg.WideEvent):
        name: str = ""

    method: Any = Job._finish

    assert "emit(PLAN, self._time_ns, values, notes, weights)" in inspect.getsource(method)


@pytest.mark.parametrize(
    ("style", "emitted"),
    [
        ("preserve", "http_server2_id"),
        ("snake_case", "http_server2_id"),
        ("kebab-case", "http-server2-id"),
        ("camelCase", "httpServer2Id"),
        ("PascalCase", "HttpServer2Id"),
        ("SCREAMING_SNAKE_CASE", "HTTP_SERVER2_ID"),
    ],
)
def test_each_style(style: str, emitted: str) -> None:
    """Words split at underscores; digits stay with the word before them [NM]."""

    class Job(tg.WideEvent, rename=style):
        http_server2_id: str = ""

    assert Job.__wide_event__.fields[0].emitted == emitted


def test_an_exact_name_is_never_renamed() -> None:
    """`name=` is written as it is [NM-2]."""

    class Job(tg.WideEvent, rename="kebab-case"):
        foo_bar: int = 0
        other: int = tg.metric(0, name="correct_correct")

    assert [f.emitted for f in Job.__wide_event__.fields] == ["foo-bar", "correct_correct"]


def test_a_child_without_style_takes_its_parents() -> None:
    """The style of the nearest enclosing record applies [NM-4]."""

    class Child(tg.WideEvent):
        sub_field_a: int = 0

    class Root(tg.WideEvent, rename="kebab-case"):
        child: Child = tg.slot(flatten=True)

    assert Root.__wide_event__.fields[0].emitted == "sub-field-a"


def test_an_enum_is_its_name_in_the_style_of_the_class() -> None:
    """Members are emitted by name; a `label` wins unrenamed [TY-8]."""

    class Operation(enum.Enum):
        COUNT_DUCKS = 1

        @property
        def label(self) -> str | None:
            return None

    class Job(tg.WideEvent, rename="PascalCase"):
        operation: Operation

    labels = Job.__wide_event__.fields[0].labels

    assert labels == {Operation.COUNT_DUCKS: "CountDucks"}


def test_a_record_has_one_timestamp() -> None:
    """A second one is refused, and both are named [J-1]."""
    with pytest.raises(tg.DeclarationError, match="a record has one timestamp, got begun, ended"):

        class Bad(tg.WideEvent):
            begun = tg.timestamp()
            ended = tg.timestamp(at="close")
