"""The entry of the program `orchestra`."""

import sys

from orchestra.cli.program import main as run_program


def main() -> None:
    """Run the command that was typed and leave with its exit code."""
    sys.exit(run_program())


if __name__ == "__main__":
    main()
