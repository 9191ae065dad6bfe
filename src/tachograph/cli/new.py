"""Make a service: one HTTP service with records, logs, limits, a drain, tests and a README.

The directory must be new or empty. What is made is yours; nothing is kept elsewhere.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

__all__ = ["configure", "run"]

EPILOG = """\
  tacho new orders
  tacho new order-history --dir services/history --description "Who ordered what, and when."

exit codes: 0 made, 1 error, 2 wrong usage
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("name", metavar="NAME", help="lower-case words joined by `-`: orders")
    parser.add_argument("--dir", type=Path, help="where to make it (default: ./NAME)")
    parser.add_argument("--description", help="one line about it, for its README and package")


def run(arguments: argparse.Namespace) -> int:
    """Make the service and say what to do next; return the exit code."""
    # The part and not its package: a bad name is refused before copier would be needed.
    from tachograph.scaffold.names import DESCRIPTION, Project
    from tachograph.scaffold.render import render_service

    project = Project(arguments.name, arguments.description or DESCRIPTION)
    destination = arguments.dir or Path(project.name)
    files = render_service(project, destination)
    print(
        f"{project.name} is in {destination}: {len(files)} files, all yours.\n"
        "\n"
        "Next:\n"
        f"  cd {shlex.quote(str(destination))}\n"
        "  make test                            # lint, types and its own tests\n"
        "  TELEMETRY_DIR=telemetry make run     # serves on http://127.0.0.1:3000\n"
        "\n"
        "Then ask its records, from the same directory:\n"
        "  tacho query --dir telemetry"
    )
    return 0
