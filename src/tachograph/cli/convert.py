"""Write a trace in the other profile.

dial9: what dial9's viewer and toolkit open. It holds everything that they know; await stacks become
task dumps, what they have no field for is left out. compact: what tachograph records, a third of
the size. A name that ends in `.gz` is compressed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tachograph.errors import CommandError, TraceFormatError

__all__ = ["configure", "run"]

EPILOG = """\
  tacho convert trace.0.bin.gz for-dial9.bin --profile dial9

exit codes: 0 written, 1 error, 2 wrong usage
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("source", metavar="IN", type=Path, help="a trace file, compressed or not")
    parser.add_argument(
        "target", metavar="OUT", type=Path, help="the file to write; it must be new"
    )
    parser.add_argument("--profile", choices=["dial9", "compact"], required=True)


def run(arguments: argparse.Namespace) -> int:
    """Write the file and say what was bent or dropped on the way; return the exit code."""
    import gzip

    from tachograph.trace.dial9 import Conversion
    from tachograph.trace.files import read_file
    from tachograph.trace.pack import pack

    try:
        trace = read_file(arguments.source)
        conversion = Conversion(trace)
        batches = conversion.batches() if arguments.profile == "dial9" else pack(trace)
        data = b"".join(batches)
    except TraceFormatError as error:
        raise CommandError(f"`{arguments.source}`: {error}") from error
    except OSError as error:
        raise CommandError(f"Cannot read `{arguments.source}`: {error.strerror}.") from error
    if arguments.target.suffix == ".gz":
        data = gzip.compress(data, 6, mtime=0)
    try:
        with arguments.target.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise CommandError(f"Cannot write `{arguments.target}`: {error.strerror}.") from error
    print(
        f"{arguments.target}: {len(trace.steps)} steps, {len(trace.parks)} parks, "
        f"{len(trace.events)} other events, {len(data)} bytes"
    )
    for problem in trace.problems:
        print(f"tacho: `{arguments.source}`: {problem}", file=sys.stderr)
    for what, count in sorted((trace.forgiven + conversion.bent).items()):
        print(f"tacho: {what.replace('_', ' ')}: {count}", file=sys.stderr)
    return 0
