"""`tacho doctor`: what works on this machine."""

from __future__ import annotations

import json

import pytest

from tachograph.cli.main import main
from tachograph.recorder.core import is_native


def checks(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """Return state and detail by part."""
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {check["part"]: (check["state"], check["detail"]) for check in found}


def test_it_records_a_program_and_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """Steps are `ok` because some were recorded just now; the cores say what they are."""
    found = checks(capsys)

    assert found["steps"][0] == "ok"
    assert int(found["steps"][1].split()[0]) > 0
    assert found["native core of recorder"][0] == ("ok" if is_native else "reduced")


def test_it_tells_what_is_wrong_with_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that makes no sense is named, with its value and what was expected."""
    monkeypatch.setenv("TACHO_ROTATION_SECS", "soon")
    found = checks(capsys)

    state, detail = found["environment"]
    assert state == "reduced"
    assert detail.startswith("TACHO_ROTATION_SECS: expected a whole number above 0, got 'soon'")


def test_a_person_gets_a_line_a_part(capsys: pytest.CaptureFixture[str]) -> None:
    """The state stands first, then the part and the reason."""
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert all(line.split()[0] in ("ok", "reduced", "off") for line in lines)


def test_sources_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each source that is wanted, with the reason where it cannot work; no line twice."""
    main(["doctor"])
    lines = [line[:34].rstrip() for line in capsys.readouterr().out.splitlines()]
    named = {line[9:] for line in lines}

    assert {"source process", "source gc", "source samples"} <= named
    assert len(lines) == len(set(lines))
