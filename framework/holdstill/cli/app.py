"""The group of all subcommands, and what becomes of errors."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from holdstill import __version__
from holdstill.cli.called_in import leave
from holdstill.cli.output import STDERR, tell
from holdstill.cli.sudo import called_by_sudo, forget_the_callers_environment
from holdstill.errors import ConfigError, ExitCode, HoldstillError, RunInterrupted
from holdstill.places import Places
from holdstill.text import nearest, one_line
from holdstill.trust import insist_on

F = TypeVar("F", bound=Callable[..., Any])

COMMANDS = {
    "run": "Do a whole job: hold, back up, let go, verify.",
    "pre": "Hold and open a job's guests, for a backup that somebody else makes.",
    "post": "Let go of what «pre» holds.",
    "hook": "Do what a backup program's own hook asks for.",
    "caller": "Print the configuration with which a backup program calls a job.",
    "paths": "Print where a job's guests' files are when it is held.",
    "held": "List what is held, with the commands that let go of it by hand.",
    "recover": "Finish what dead runs left.",
    "check": "Validate the configuration, and look at every step of every job.",
    "plan": "Print the commands that a job would run; change nothing.",
    "plugins": "List the plugins of this host.",
    "schema": "Print the JSON Schema of the configuration, for editors.",
    "import": "Write a configuration from that of the shell script «guest_lvm_mounter».",
    "new-plugin": "Write a distribution with plugins of your own, to begin from.",
}

HIDDEN = {"tend"}
"Commands that holdstill itself calls."

SILENT = {"caller", "held", "import", "paths"}
"Commands that log nothing: they start without structlog."

BROUGHT = ("PLUGIN", "What a plugin brings, by the plugin's name: «holdstill plugins» tells which do.")
"A row of the help: to name them, all plugins would have to be loaded."


class Commands(click.Group):
    """Subcommands, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names, in the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in {*COMMANDS, *HIDDEN}:
            return _brought(ctx, cmd_name)
        if cmd_name not in SILENT:
            importlib.import_module("holdstill.cli.structlog_alone")
        module = importlib.import_module(f"holdstill.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Tell the log, too, why a hook fails: its caller may pass on an exit code, and nothing of what we print."""
        try:
            return super().invoke(ctx)
        except (HoldstillError, click.ClickException) as error:
            if ctx.invoked_subcommand == "hook":
                _log().error(_sentence(error))
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items(), BROUGHT])


def _brought(ctx: click.Context, name: str) -> click.Command:
    """Give the subcommand that a plugin brings. Plugins are loaded for this only, and only the one of that name."""
    from holdstill.cli.brought import command_of

    command = command_of(Places(**ctx.params), name)
    if command is None:
        ctx.fail(f"There is no command {name!r}{nearest(name, COMMANDS)}")
    return command


def _path(name: str, what: str, default: Path) -> Callable[[F], F]:
    return click.option(
        f"--{name}",
        type=click.Path(path_type=Path, resolve_path=True),
        default=default,
        envvar=f"HOLDSTILL_{name.upper()}",
        show_default=True,
        show_envvar=True,
        metavar="PATH",
        help=what,
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@_path("config", "The configuration: a YAML file, or a folder of them.", Places().config)
@_path("state", "Where journals and locks are kept.", Places().state)
@_path("trees", "Where guests' files appear, as JOB/GUEST.", Places().trees)
@_path("plugins", "The site's single-file plugins.", Places().plugins)
@click.version_option(__version__, message="holdstill %(version)s")
@click.pass_context
def app(ctx: click.Context, /, **paths: Path) -> None:
    """Hold guests still while a backup reads them, and always let go again.

    Exit codes follow sysexits.h; 79: the backup failed, 80: its verification failed, 81: something is
    still held. «holdstill COMMAND --help» tells more.
    """
    if called_by_sudo():
        forget_the_callers_environment()
    ctx.obj = Places(**paths)
    insist_on(ctx.obj.state)
    insist_on(ctx.obj.trees)
    os.umask(0o022)
    leave(ctx)


def call(arguments: Sequence[str]) -> int:
    """Run the command line; give the exit code. Every failure is a sentence on standard error."""
    try:
        code = app.main(list(arguments), prog_name="holdstill", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = ExitCode.USAGE
    except click.ClickException as error:
        code = fail(_sentence(error), ExitCode.USAGE)
    except (click.Abort, RunInterrupted) as error:
        number = error.signal_number if isinstance(error, RunInterrupted) else 2
        code = fail("stopped.", 128 + number)
    except ConfigError as error:
        code = _complain(error)
    except HoldstillError as error:
        code = fail(str(error), error.code)
    except BrokenPipeError:
        code = ExitCode.OK
    except SystemExit as error:  # what click makes of a reader of its help that is gone, or a defect
        code = (
            ExitCode.OK if {"-h", "--help"} & set(arguments) else _defect(RuntimeError(f"exit {error.code}"))
        )
    except Exception as error:
        code = _defect(error)
    return code or 0


def fail(sentence: str, code: int) -> int:
    """Print one line on standard error; give the exit code."""
    tell(f"holdstill: {one_line(sentence)}")
    return code


def _complain(error: ConfigError) -> int:
    """Say all that is wrong to a person, a line each; to a program, in one line, as callers of hooks want it."""
    if os.isatty(STDERR):
        tell("\n".join(error.complaints))
        return error.code
    return fail(_sentence(error), error.code)


def _sentence(error: HoldstillError | click.ClickException) -> str:
    if isinstance(error, ConfigError):
        return "; ".join(error.complaints)
    if not isinstance(error, click.ClickException):
        return str(error)
    ctx, said = error.ctx if isinstance(error, click.UsageError) else None, error.format_message()
    said = said if said.endswith((".", "?")) else f"{said}."
    return f"{said} Try «{ctx.command_path} --help»." if ctx else said


def _defect(error: Exception) -> int:
    _log().exception("a defect")
    return fail(
        f"A defect in holdstill ({type(error).__name__}: {error}). The log has the traceback; please report it.",
        ExitCode.BUG,
    )


def _log() -> Any:
    """Give the log, also of a command that has not come to set it up."""
    import structlog

    from holdstill import log
    from holdstill.log import syslog

    if not structlog.is_configured():
        sink = syslog.sink()
        log.configure([sink] if sink else [])
    return structlog.get_logger()
