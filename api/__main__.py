"""The program `memory-attention`, and `python -m memory_attention`."""

import sys


def main() -> None:
    """Run the command line. Its rooms take a moment to import, in which Ctrl-C is no error either."""
    try:
        from .cli import main as run
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
