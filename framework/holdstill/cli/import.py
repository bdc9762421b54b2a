"""``holdstill import DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from holdstill.cli.output import say, tell
from holdstill.errors import StorageError, UsageError
from holdstill.text import one_line


def _renamed(_ctx: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    if wrong := [theirs for theirs, _, ours in pairs if not (theirs and ours)]:
        raise click.BadParameter(f"{wrong[0]!r} is not THEIRS=OURS")
    return {theirs: ours for theirs, _, ours in pairs}


@click.command("import")
@click.argument(
    "folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True)
)
@click.option(
    "--rename",
    "renamed",
    multiple=True,
    callback=_renamed,
    metavar="THEIRS=OURS",
    help="Take a variable of your script's for one that import knows, such as VG=HOST_VG. Can be repeated.",
)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, resolve_path=True),
    metavar="FILE",
    help="Write to this file, which there must not be yet, in place of standard output.",
)
def command(folder: Path, renamed: dict[str, str], target: Path | None) -> int:
    """Write a configuration from that of the shell script «guest_lvm_mounter».

    DIR has the script's host.conf, guests.conf and *.source. They are read, not run: what only a shell could tell,
    and variables that import does not know, are left out and told with file and line, on standard error and in the
    configuration.
    """
    from holdstill.legacy.script import Reader
    from holdstill.legacy.write import configuration

    old = Reader(folder, renamed).read()
    text = configuration(old, str(folder))
    if target:
        _write_new(target, text)
    else:
        say(text.removesuffix("\n"))
    for sentence in old.left_out:
        tell(one_line(f"not taken over: {sentence}"))
    return 0


def _write_new(path: Path, text: str) -> None:
    """Write a file that there was not. Raises UsageError if there is one, StorageError if it cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already, and is not overwritten.") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from None
