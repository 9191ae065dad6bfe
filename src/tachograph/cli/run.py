"""Run a Python program with the recorder on; nothing in it needs to change.

The program is run as `python app.py` or `python -m module` would run it. Segments come into a
directory of the process under DIR. What no option says, the `TACHO_*` variables say; see
docs/recorder.md.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tachograph.errors import CommandError, ConfigError

__all__ = ["configure", "parse", "run"]

_WITH_VALUE = ("--dir", "--service", "--profile")

_EXAMPLES = """\
examples:
  tacho run app.py --its --arguments
  tacho run -m uvicorn app:app --port 8000
  tacho run --dir traces --service orders app.py

exit codes: 0 the program ended well, else the program's own; 1 it could not be run; 2 wrong usage
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = _EXAMPLES
    parser.usage = "tacho run [--dir DIR] [--service NAME] [--profile P] (-m MODULE | FILE) ..."
    parser.add_argument("--dir", type=Path, help="parent of the process's directory of segments")
    parser.add_argument("--service", metavar="NAME", help="name of the service in the segments")
    parser.add_argument("--profile", metavar="P", help="compact (default) or dial9")
    parser.add_argument("--quiet", action="store_true", help="do not say where the segments are")
    parser.set_defaults(module=False, program=[])


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse what stands before the program; all that follows is the program's own."""
    place = 0
    while place < len(arguments) and arguments[place].startswith("-") and arguments[place] != "-m":
        place += 2 if arguments[place] in _WITH_VALUE else 1
    found = parser.parse_args(arguments[:place])
    found.module = arguments[place : place + 1] == ["-m"]
    found.program = list(arguments[place + found.module :])
    if not found.program:
        parser.error("expected a program: a file, or -m and a module")
    return found


def run(arguments: argparse.Namespace) -> int:
    """Run the program."""
    from tachograph import recorder

    name, *rest = arguments.program
    if not arguments.module and not Path(name).is_file():
        msg = f"There is no file `{name}`. To run a module: tacho run -m {name}"
        raise CommandError(msg)
    try:
        settings: dict[str, Any] = {"service": arguments.service or Path(name).stem}
        config = recorder.RecorderConfig.from_env(**settings)
        given = {"directory": arguments.dir, "profile": arguments.profile}
        config = replace(config, **{k: v for k, v in given.items() if v is not None})
        if arguments.service:
            config = replace(config, service=arguments.service)
        recording = recorder.start(config)
    except (ConfigError, OSError) as error:
        msg = f"The recorder cannot start: {error}"
        raise CommandError(msg) from error
    directory = recording.directory
    try:
        with recording:
            if arguments.module:
                sys.argv = [name, *rest]
                sys.path.insert(0, str(Path.cwd()))
                runpy.run_module(name, run_name="__main__", alter_sys=True)
            else:
                sys.argv = [name, *rest]
                sys.path.insert(0, str(Path(name).resolve().parent))
                runpy.run_path(name, run_name="__main__")
    finally:
        if not arguments.quiet:
            sys.stdout.flush()  # what the program said stands before what we say
            print(f"tacho: recorded into {_shown(directory)}", file=sys.stderr)
    return 0


def _shown(directory: Path | None) -> str:
    if directory is None:
        return "nothing"
    relative = os.path.relpath(directory)
    return str(directory) if relative.startswith("..") else relative
