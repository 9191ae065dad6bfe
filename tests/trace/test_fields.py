"""Events whose fields the native core writes: the same bytes as from the writer in Python."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph._core import loop
from tachograph.errors import TraceFormatError
from tachograph.trace import Encoder, encode
from tachograph.trace.schema import Field, FieldType, Schema

pytestmark = pytest.mark.skipif(loop is None, reason="the native core is not built here")

edges = st.sampled_from([-(2**63), -1, 0, 1, 127, 128, 255, 256, 65_535, 2**32 - 1, 2**32, 2**64])
numbers = st.integers(-(2**65), 2**65) | edges | st.booleans()
texts = st.sampled_from(["", "a", "ä" * 300, "\ud800", "x" * 700]) | st.text(max_size=5)
values = (
    st.none()
    | numbers
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=600)
    | st.lists(numbers, max_size=4).map(tuple)
    | st.lists(numbers, max_size=4)
    | st.dictionaries(texts, texts | numbers, max_size=3)
)
fields = st.tuples(st.sampled_from(FieldType), st.booleans(), values)
events = st.lists(st.lists(fields, max_size=5), min_size=1, max_size=4)


def written(rows: list[list[tuple[FieldType, bool, Any]]], *, reserve_empty: bool) -> list[Any]:
    """Return what an encoder makes of each event, and of all."""
    encoder, found = Encoder(reserve_empty=reserve_empty), []
    for number, row in enumerate(rows):
        kinds = tuple(Field(f"f{n}", kind, may) for n, (kind, may, _) in enumerate(row))
        try:
            encoder.event(Schema(f"E{number}", kinds), number, *(value for *_, value in row))
        except TraceFormatError as error:
            found.append(str(error))
    return [*found, encoder.take()]


@given(events, st.booleans())
def test_native_and_twin(rows: list[list[tuple[FieldType, bool, Any]]], reserve: bool) -> None:
    """Whatever stands in whatever field makes the same bytes, or the same error."""
    native = written(rows, reserve_empty=reserve)
    with patch.object(encode, "loop", None):
        assert native == written(rows, reserve_empty=reserve)


def test_what_is_simple_is_written_natively() -> None:
    """A value for each type that the core knows, with a pool entry that is new and one that is not.

    The bytes are those of the writer in Python, which is not asked.
    """
    row = {
        FieldType.I64: -5,
        FieldType.F64: 0.5,
        FieldType.BOOL: True,
        FieldType.STRING: "ä",
        FieldType.BYTES: b"b",
        FieldType.POOLED_STACK: (1, 2**64 - 1),
        FieldType.POOLED_STRING: "pooled",
        FieldType.VARINT: 300,
        FieldType.STRING_MAP: {"k": "v"},
        FieldType.U8: 255,
        FieldType.U16: 65_535,
        FieldType.U32: 2**32 - 1,
    }
    schema = Schema("E", tuple(Field(kind.name, kind) for kind in row))

    def batch() -> bytes:
        encoder = Encoder()
        for _ in range(2):
            encoder.event(schema, 7, *row.values())
        return encoder.take()

    with patch.object(Encoder, "_field", side_effect=AssertionError("asked")):
        native = batch()
    with patch.object(encode, "loop", None):
        assert native == batch()


@given(st.data())
def test_wrong_use(data: st.DataObject) -> None:
    """What is given to the core itself is looked at."""
    args: list[Any] = data.draw(
        st.lists(st.sampled_from([bytearray(), b"\x09", (1,), {}, None]), max_size=6)
    )
    with contextlib.suppress(TypeError):
        assert loop.fields(*args) == b"\x01"
