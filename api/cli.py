"""The command line: `memory-attention`, or `python -m memory_attention`; every room adds its own commands."""

import signal
import sys
import threading
import warnings
from typing import Annotated, Any

import typer

from . import __version__, commands
from .benchmarks import cli as benchmark_commands
from .integrations import cli as export_commands
from .pictures import cli as picture_commands
from .tracker import cli as tracker_commands

app = typer.Typer(
    name="memory-attention",
    help="The memory attention of SAM 2: look inside it, run it, check it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)


LONGEST = 800
"""Letters of an error or a warning."""


def _print_version(asked: bool) -> None:
    if asked:
        print(f"memory-attention {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Look inside it, run it, check it."""


def main() -> None:
    """Run the command line; bad input exits with status 2 and one line on stderr."""
    warnings.showwarning = _warn
    end_cleanly_when_told()
    try:
        status = app(standalone_mode=False)
    except (ValueError, TypeError, OSError, ImportError) as error:
        _fail(str(error), 2)
    except MemoryError as error:
        _fail(f"there is not enough memory ({error})", 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except Exception as error:
        # Typer's complaints about the words of a command come in several types with this one method.
        if not hasattr(error, "format_message"):
            raise
        # Without a command there is no message: the help was shown.
        if not error.format_message():
            sys.exit(2)
        _fail(error.format_message(), 2)
    sys.exit(status if isinstance(status, int) else 0)


def end_cleanly_when_told() -> None:
    """Let SIGTERM and a closed terminal end the program as an exception does: nothing temporary is left."""
    # Python hears signals in its main thread only.
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            told = getattr(signal, name, None)
            # Under nohup a closed terminal is passed over.
            if told is not None and signal.getsignal(told) != signal.SIG_IGN:
                signal.signal(told, lambda number, _: sys.exit(128 + number))


def _fail(message: str, status: int) -> None:
    print(f"error: {_line(message)}", file=sys.stderr)
    sys.exit(status)


def _line(message: str) -> str:
    """One line without terminal codes, which the name of a file may have, and not longer than can be read."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    return words if len(words) <= LONGEST else f"{words[: LONGEST // 2]} … {words[-LONGEST // 2 :]}"


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {_line(str(message))}", file=sys.stderr)


for room in (commands, export_commands, picture_commands, tracker_commands, benchmark_commands):
    room.add_to(app)
