"""`tacho COMMAND`: find the command, run it, turn errors into messages and exit codes.

A command is a module with `configure(parser)` and `run(arguments) -> int`; its docstring is its
help. Only the command that runs is imported: `tacho --help` needs argparse and nothing else.

Exit codes: 0 done, 1 error, 2 wrong usage, 3 findings that were asked to fail.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from tachograph._version import __version__
from tachograph.cli.printable import printable
from tachograph.errors import CommandError

__all__ = ["main"]

COMMANDS: dict[str, str] = {
    "convert": "write a trace as dial9 reads it, or as we record it",
    "doctor": "say what works on this machine, and why not",
    "new": "make a service: observable, tested, ready to run",
    "query": "ask wide events in SQL",
    "run": "run a program with the recorder on",
    "schema": "show what records emit, and whether a change breaks their readers",
}
"""Each command with its line in `tacho --help`; its module is `tachograph.cli.<command>`."""

INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that *argv* (default: the process's arguments) names; return its exit code.

    An error that a command expects is one message on stderr; any other is a message and, with
    `--debug`, its traceback.
    """
    _make_printable()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except SystemExit as exit_:  # argparse has said what is wrong, or has shown its help
        return exit_.code if isinstance(exit_.code, int) else 1
    except CommandError as error:
        return _fail(str(error), error.exit_code, debug=debug)
    except BrokenPipeError:
        # The reader (`head`, a pager) has seen enough. The interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- a person at a terminal gets a message
        message = f"{type(error).__name__}: {error}. See where with --debug."
        return _fail(message, 1, debug=debug)
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        parser = _top()
        parser.parse_args(arguments)
        parser.print_help(sys.stderr)
        return 2
    name, *rest = arguments
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean `tacho {near[0]}`?" if near else ""
        known = ", ".join(COMMANDS)
        raise CommandError(f"There is no command `{name}`; there are: {known}.{hint}", exit_code=2)
    module = importlib.import_module(f"tachograph.cli.{name}")
    parser = argparse.ArgumentParser(
        prog=f"tacho {name}",
        description=(module.__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    # A command whose arguments are another program's takes them apart itself.
    parse = getattr(module, "parse", None)
    return int(module.run(parse(parser, rest) if parse else parser.parse_intermixed_args(rest)))


def _top() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {line}" for name, line in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tacho",
        usage="tacho COMMAND [ARGUMENTS]",
        description=f"One wide event per request, and the tools to ask it.\n\ncommands:\n{listing}",
        epilog="`tacho COMMAND --help` explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tachograph {__version__}")
    return parser


def _fail(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    # A message may name what a file holds: nothing of that may steer the terminal.
    print(f"tacho: {printable(message, keep=chr(10))}", file=sys.stderr)
    return code


def _make_printable() -> None:
    # A terminal without Unicode shows `?` for a character it lacks instead of an error.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
