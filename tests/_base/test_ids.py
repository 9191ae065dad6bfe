"""Identifiers."""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph._base import ids
from tachograph._base.ids import id_of, new_request_id, number_of, series
from tachograph._core import native

all_series = st.binary(min_size=16, max_size=16)


def test_an_id_is_a_uuid_of_version_4() -> None:
    """Its canonical text, another each time."""
    found = {new_request_id() for _ in range(200)}

    assert len(found) == 200
    assert all(str(uuid.UUID(text)) == text for text in found)
    assert {uuid.UUID(text).version for text in found} == {4}
    assert {uuid.UUID(text).variant for text in found} == {uuid.RFC_4122}


@given(all_series, st.integers(0, 2**48 - 1))
def test_a_series_knows_its_ids(known: bytes, number: int) -> None:
    """The number comes back from the text; of another series it does not."""
    text = id_of(known, number)

    assert number_of(known, text) == number
    assert number_of(bytes(16) if known != bytes(16) else b"x" * 16, text) is None


def test_ids_of_elsewhere() -> None:
    """A random UUID, one in capitals and any other text are of no series."""
    assert number_of(series(), str(uuid.uuid4())) is None
    assert number_of(series(), new_request_id().upper().replace("0", "A")) is None
    assert number_of(series(), "id") is None
    assert number_of(series(), "\N{SNOWMAN}" * 36) is None


def test_the_process_gives_its_own_series_in_order() -> None:
    """Each id has the number after the one before."""
    first, second = (number_of(series(), new_request_id()) for _ in range(2))

    assert first is not None
    assert second == first + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_another_series() -> None:
    """Else both would give the same ids."""
    before = series()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, series())
        os._exit(0)
    os.waitpid(child, 0)
    found = os.read(reader, 64)
    os.close(reader)
    os.close(writer)

    assert len(found) == 16
    assert found != before == series()


def test_what_is_no_series() -> None:
    """The error says what was expected."""
    with pytest.raises(ValueError, match="expected a series of 16 bytes"):
        id_of(b"short", 0)
    with pytest.raises(ValueError, match="expected a series of 16 bytes"):
        number_of(b"short", "x")


@pytest.mark.skipif(native is None, reason="the native core is not built here")
@given(all_series, st.integers(0, 2**48 - 1))
def test_native_and_twin(known: bytes, number: int) -> None:
    """Both make the same id, and read it back."""
    text = native.id_of(known, number)

    assert ids._id_of(known, number) == text
    assert ids._number_of(known, text) == native.number_of(known, text) == number
