"""Start of the command line: answers ``--version`` without loading anything else."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the ``millstream`` command."""
    if sys.platform == "win32":
        sys.stderr.write("Millstream runs on Linux; on Windows use WSL2\n")
        sys.exit(1)
    if sys.argv[1:] in (["--version"], ["-V"]):
        from millstream.version import __version__

        sys.stdout.write(f"millstream {__version__}\n")
        return
    from millstream.cli.commands import run

    run()


if __name__ == "__main__":
    main()
