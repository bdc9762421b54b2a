"""Amanda, with virtual tapes: as its own user it calls holdstill by sudo, and dumps what is held."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from holdstill.host.real import RealHost

from ..sudo import launcher, rules, shipped
from .amanda import USER, Amanda
from .conftest import Guest
from .gate import Gate, eventually


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    with TemporaryDirectory(prefix="holdstill-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def amanda(guest: Guest, tmp_path: Path) -> Iterator[Amanda]:
    """Paste what holdstill prints into Amanda's configuration; let its user call."""
    made = Amanda(tmp_path / "amanda")
    program = launcher(tmp_path)
    script = guest.run(program, "caller", "amanda", "nightly", "--file", "script.sh").stdout
    assert " /usr/local/sbin/holdstill-amanda.nightly " in script
    script = script.replace("/usr/local/sbin", str(program.parent))
    configuration = (
        guest.snippet("amanda", "amanda.conf")
        .replace('plugin "amgtar"', f'plugin "amgtar"\nproperty "GNUTAR-LISTDIR" "{made.folder}/lists"')
        .replace("# The name of a dumptype of yours", "ours #")
    )
    disklist = guest.snippet("amanda", "disklist")
    with (
        rules(shipped("holdstill-caller", USER, program)),
        made.installed(script=script, configuration=configuration, disklist=disklist),
    ):
        yield made


@pytest.fixture
def gate(amanda, tmp_path) -> Gate:
    """Where a dump waits when all of the guest is read."""
    made = Gate(tmp_path / "gate")
    read = amanda.folder / "log" / "read"
    amanda.compress_with(f"cat > {read}; cat {made.path}; exec cat {read}")
    return made


def test_what_is_dumped_is_what_was_on_the_guests_disk(amanda, guest, tmp_path):
    checked = amanda.run("amcheck", "-c")
    assert checked.returncode == 0, checked.stdout
    assert amanda.run("amdump").returncode == 0, amanda.log()
    eventually(guest.is_let_go_of)
    assert "STRANGE" not in amanda.log()
    fetched = amanda.shell(
        f"amfetchdump -a -p {amanda.name} $(hostname) nightly > {amanda.folder}/log/fetched"
    )
    assert fetched.returncode == 0, fetched.stderr
    (tmp_path / "restored").mkdir()
    extract = ["--extract", f"--file={amanda.folder}/log/fetched", f"--directory={tmp_path}/restored"]
    assert guest.run("tar", *extract, "--acls", "--xattrs", "--numeric-owner").returncode == 0
    assert guest.is_in(tmp_path / "restored" / "web")


def test_a_guest_that_cannot_be_held_is_not_dumped(amanda, guest):
    guest.break_disk()
    assert amanda.run("amdump").returncode != 0
    assert "holdstill: guest web" in amanda.log()
    assert amanda.dumps() == []
    assert guest.is_let_go_of()


def test_a_dump_that_fails_lets_go(amanda, guest):
    amanda.compress_with("cat > /dev/null; exit 1")  # at once, and amgtar's tar could wait for ever
    assert amanda.run("amdump").returncode != 0
    eventually(lambda: guest.site.held() == [])  # amdump does not wait for the last script
    assert guest.is_let_go_of()


def test_a_hold_that_did_not_last_to_the_end_fails_the_dump(amanda, guest, gate):
    guest.configure("    lease: 0.001s\n")
    with gate.shut(), amanda.dump_at_work() as dump:
        gate.wait_until_reached()
        assert guest.site.call("recover").returncode == 0
        gate.open()
    assert dump.result().returncode != 0
    assert "holdstill: " in amanda.log()
    assert guest.is_let_go_of()


def test_a_dump_that_is_stopped_lets_go_when_the_lease_ends(amanda, guest, tmp_path):
    guest.configure("    lease: 0.001s\n")
    gate = Gate(tmp_path / "gate")
    amanda.compress_with(f"cat {gate.path}; exec cat")
    with gate.shut(), amanda.dump_at_work():
        gate.wait_until_reached()
        amanda.run("amcleanup", "-k")
    assert amanda.dumps() == []
    for reader in RealHost().holders([str(guest.tree)]):  # Amanda's user may not end root's tar
        with suppress(ProcessLookupError):  # it may be about to end by itself
            os.kill(reader.pid, signal.SIGTERM)
    assert guest.site.call("recover").returncode == 0
    assert guest.is_let_go_of()
