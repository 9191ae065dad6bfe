"""Identifiers."""

from __future__ import annotations

import uuid

from tachograph._base.ids import new_request_id


def test_an_id_is_a_uuid_of_version_4() -> None:
    """Its canonical text, another each time."""
    found = {new_request_id() for _ in range(200)}

    assert len(found) == 200
    assert all(str(uuid.UUID(text)) == text for text in found)
    assert {uuid.UUID(text).version for text in found} == {4}
    assert {uuid.UUID(text).variant for text in found} == {uuid.RFC_4122}
