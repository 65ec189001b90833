"""The command's entry: one place where every mistake of a user becomes one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from smartlearn.core.errors import ExitCode, SmartLearnError
from smartlearn.ops.cli.app import app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `smartlearn` command and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:  # noqa: PLR0911  one a kind of end
    """The exit code of the command with these arguments; what goes wrong is said on stderr."""
    try:
        code = app(arguments, prog_name="smartlearn", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _fail(_usage(error), error.exit_code)
    except typer.Abort:
        return _fail("nothing was done", ExitCode.FAILED)
    except SmartLearnError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _unread()
    except SystemExit as error:
        # Typer makes an exit of a broken pipe.
        if isinstance(error.__context__, BrokenPipeError):
            return _unread()
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}", ExitCode.USAGE)
    return code if isinstance(code, int) else ExitCode.OK


def _unread() -> int:
    """Whoever read has had enough, as `| head` does: what Python still holds goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.OK


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see `{context.command_path} --help`)" if context is not None else ""
    return f"{error.format_message().rstrip('.')}{hint}"


def _fail(sentence: str, code: int) -> int:
    typer.echo(f"smartlearn: {sentence}", err=True)
    return code
