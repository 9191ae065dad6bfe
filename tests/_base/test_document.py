"""A file that is replaced as a whole."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from tachograph._base.document import Document


def test_an_update_is_written_in_the_background(tmp_path: Path) -> None:
    """Private modes, no leftovers beside it."""
    path = tmp_path / "new" / "document"
    document = Document(path, lambda text: (text or b"") + b"x")
    document.update()

    assert document.flush(5)
    assert path.read_bytes() == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["document"]


def test_the_present_text_is_given_to_the_next() -> None:
    """Nothing to write means nothing is waited for."""
    document = Document(Path("/nonexistent/document"), lambda text: text or b"")

    assert document.flush(1)


def test_a_failure_is_counted_and_tried_again(tmp_path: Path) -> None:
    """A directory that cannot be made costs nothing but the file; it is there once it can."""
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    document = Document(blocker / "document", lambda _: b"x")
    document.update()
    first = document.flush(5)
    blocker.unlink()

    assert not first
    assert document.failures >= 1
    assert document.flush(5)
    assert (blocker / "document").read_bytes() == b"x"


def test_updates_from_several_documents_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """They take turns, as several processes on one directory would."""
    path = tmp_path / "document"

    def adding(name: bytes) -> Document:
        return Document(path, lambda text: (text or b"") + name)

    documents = [adding(b"%d" % n) for n in range(8)]
    start = threading.Barrier(8)

    def work(document: Document) -> None:
        start.wait()
        document.update()
        document.flush(5)

    threads = [threading.Thread(target=work, args=(document,)) for document in documents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(path.read_bytes()) == sorted(b"01234567")
