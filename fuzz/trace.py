"""Fuzz the readers of traces: any bytes read or raise `TraceFormatError`, never any other error.

`make fuzz` runs it for FUZZ_SECONDS (60). Inputs that fail stay in scratch/fuzz/, named after what
they are: crash-, timeout-, oom-. The corpus grows there from run to run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import atheris

REPOSITORY = Path(__file__).resolve().parent.parent
SCRATCH = REPOSITORY / "scratch" / "fuzz"

with atheris.instrument_imports(include=["tachograph"]):
    from tachograph.errors import TraceFormatError
    from tachograph.trace import Decoder, assemble
    from tachograph.trace.dial9 import Conversion
    from tachograph.trace.pack import pack

sys.path.insert(0, str(REPOSITORY))
from tests.trace.service_load import service_load, write_load
from tests.trace.vectors import WORKED


def once(data: bytes) -> None:
    """Read *data* strictly and leniently, whole and in two pieces, and write what was read."""
    try:
        whole = Decoder(strict=True).read(data)
    except TraceFormatError:
        whole = None
    decoder, pieces = Decoder(), Decoder()
    try:
        events = decoder.read(data)
        half = len(data) // 2
        again = pieces.feed(data[:half]) + pieces.feed(data[half:]) + pieces.close()
    except TraceFormatError:
        return
    assert repr(events) == repr(again), "pieces read otherwise than the whole"
    assert whole is None or repr(whole) == repr(events), "strict reads otherwise than lenient"
    trace = assemble(events, decoder)
    for write in (pack, lambda found: Conversion(found).batches()):
        try:
            Decoder(strict=True).read(b"".join(write(trace)))
        except TraceFormatError:
            continue


def main() -> None:
    """Write the seeds and run within bounds of time, memory and input size."""
    corpus = SCRATCH / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    compact = write_load(service_load(3))
    trace = assemble(Decoder().read(compact))
    seeds = {"worked": WORKED, "compact": compact, "dial9": b"".join(Conversion(trace).batches())}
    for name, data in seeds.items():
        (corpus / name).write_bytes(data)
    seconds = os.environ.get("FUZZ_SECONDS", "60")
    bounds = [f"-max_total_time={seconds}", "-max_len=8192", "-rss_limit_mb=1024", "-timeout=10"]
    arguments = [*bounds, f"-artifact_prefix={SCRATCH}/", str(corpus)]
    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
