"""The table of built-in events."""

from __future__ import annotations

from pathlib import Path

from tachograph.trace.compact import BLOCKS, LIVING
from tachograph.trace.events import (
    DIAL9,
    DIAL9_TABLE,
    EVENTS,
    MANDATORY,
    TACHO_TABLE,
)

from .checklist import BUILT_IN


def test_standard_fields_stand_first() -> None:
    """dial9's fields have its types and order; ours stand behind them [events 3, 6]."""
    for name, text in BUILT_IN.items():
        fields = [f"{f.name}:{f.byte}" for f in DIAL9[name].fields]

        assert text.split() == fields[: len(text.split())]


def test_our_fields() -> None:
    """What we add to dial9's events [events 6]."""
    ours = {
        "PollStartEvent": ["flags"],
        "WorkerUnparkEvent": ["gil_wait_ns", "ready_events"],
        "TaskSpawnEvent": ["worker_id", "parent_task_id", "task_name"],
        "TaskTerminateEvent": ["outcome"],
        "CpuSampleEvent": ["task_id", "blocked_in"],
        "TaskDumpEvent": ["awaiting", "awaited_task"],
    }
    names = {name: [f.name for f in DIAL9[name].fields] for name in ours}

    assert ours == {name: names[name][-len(ours[name]) :] for name in ours}


def test_mandatory_fields() -> None:
    """Each field without which an older reader aborts, and only fields of the event."""
    assert {"worker_id", "local_queue", "task_id"} == MANDATORY["PollStartEvent"]
    assert {"worker_id", "tid", "source", "callchain"} == MANDATORY["CpuSampleEvent"]
    assert all(fields <= DIAL9[name].index.keys() for name, fields in MANDATORY.items())


def test_our_events_have_our_prefix() -> None:
    """A name of ours is never one of dial9's, present or future [events 7]."""
    assert {True} == {name.startswith("tacho:") for name in EVENTS.keys() - DIAL9.keys()}
    assert all(schema.timestamp for schema in EVENTS.values())


def test_the_document_has_the_table(repository: Path) -> None:
    """docs/format.md lists each event with its fields as the table here has them."""
    text = (repository / "docs" / "format.md").read_text()
    for line in (DIAL9_TABLE + TACHO_TABLE).strip().splitlines():
        name, _, fields = line.rpartition(": ")
        if name and name not in {block.name for block in (*BLOCKS, LIVING)}:
            cell = fields.replace("*", "").replace(" | ", " \\| ")
            assert f"\n| {name} | {cell} |\n" in text


def test_the_document_has_the_blocks(repository: Path) -> None:
    """docs/format.md gives the fields of each block in their order."""
    text = (repository / "docs" / "format.md").read_text()
    for block in BLOCKS:
        section = text.partition(f"### {block.name}\n")[2].partition("|")[0]
        places = [section.index(f"`{f.name}`") for f in block.fields]

        assert sorted(places) == places
