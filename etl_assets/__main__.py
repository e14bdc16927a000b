"""Where the command line begins: Ctrl-C is one line also while its modules are still read."""

import sys


def main() -> None:
    """Run the command line; see `cli.py`."""
    try:
        from etl_assets.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; nothing was done.\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
