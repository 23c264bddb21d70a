"""The command line: one file a command, imported only when that command is called."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Any, NoReturn

import click

from hepchallenge._version import __version__
from hepchallenge.exceptions import HepChallengeError

__all__ = ["cli", "main"]

_COMMANDS = {
    "list": ("list", "Show the built-in challenges and their starting kits."),
    "info": ("info", "Show a challenge: metrics, data, limits, reference scores."),
    "data": ("data", "Choose, make, prepare or download a challenge's data."),
    "new": ("new", "Start a submission from a starting kit."),
    "receive": ("receive", "Take submissions in without running them."),
    "score": ("score", "Run submissions apart from the labels and score them."),
    "rescore": ("rescore", "Score stored predictions again without running anything."),
    "log": ("log", "Show what a submission printed, and why it ended."),
    "choose": ("choose", "Record which submissions a team chooses to stand for it."),
    "board": ("board", "Show or export the leaderboard."),
    "blend": ("blend", "Blend submissions: who adds what, and how good all are together."),
    "draw": ("draw", "Draw pictures of scored submissions."),
    "audit": ("audit", "Look for leaks, wrong metrics and secrets in what is published."),
    "doctor": ("doctor", "Say whether strangers' code can be run safely on this host."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands by name and help line, and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"hepchallenge.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hepchallenge")
def cli() -> None:
    """Machine-learning challenges of particle physics.

    Submissions run in processes that cannot see the labels, under limits; scores are exact and recorded.

    \b
    hepchallenge score higgsml            score the starting kits on toy data
    hepchallenge new higgsml mine         start your own submission
    hepchallenge score higgsml mine       score it
    hepchallenge board higgsml            show the leaderboard
    """


def _terminated(*_: Any) -> NoReturn:
    # Turned into an exit that unwinds, so that folds are ended and scratch folders removed.
    raise SystemExit(143)


class _Interrupted(KeyboardInterrupt):
    """An interrupt that the interpreter does not take for its own.

    Once its own has left code that was compiled from a string, as libraries run while they are imported, it
    ends by the signal in the end, whatever exit code was given meanwhile.
    """


def _interrupted(*_: Any) -> NoReturn:
    raise _Interrupted


def main() -> NoReturn:
    """Run the command line; an error of ours is one message and an exit code, never a traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    # A shell may have asked that interrupts be ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    try:
        code = cli(standalone_mode=False)
    except HepChallengeError as error:
        from hepchallenge.text import safe_text

        click.secho("error: ", fg="red", nl=False, err=True)
        # It may quote a stranger's name.
        click.echo(safe_text(str(error)), err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("interrupted; what is done is recorded, the same command goes on from there", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
