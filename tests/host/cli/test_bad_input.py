"""Bad input: each a sentence, the right exit code, and nothing held."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

HOOKS = [("pre", "nightly"), ("run", "nightly")]


def refused(place, code, *words, arguments=("pre", "nightly"), **more):
    """Run a job that cannot be; see that it says why in one line, and that nothing is held."""
    result = place.run(*arguments, **more)
    assert (result.code, result.out) == (code, ""), result
    assert result.err.count("\n") == 1
    assert len(result.err.encode()) <= 1024
    for word in words:
        assert word in result.err
    assert place.left() == []
    return True


@pytest.mark.parametrize("arguments", [*HOOKS, ("check",), ("plan", "nightly")])
def test_no_configuration(place, arguments):
    place.config.unlink()
    assert refused(
        place,
        78,
        "There is no configuration at",
        "site.yaml",
        "the README has a first one",
        arguments=arguments,
    )


@pytest.mark.parametrize("arguments", [*HOOKS, ("check", "nightly")])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jobs: [\n", ["site.yaml:2: this is not YAML"]),
        ("jobz: {}\n", ["site.yaml:1: the configuration has no key 'jobz'; did you mean 'jobs'?"]),
        ("jobs: 5\n", ["site.yaml:1: jobs"]),
        (
            "guests: 5\njobs: {nightly: {guests: [web]}}\n",
            ["site.yaml:1: guests", "site.yaml:2: there is no guest 'web'"],
        ),
        (
            "jobs: {nightly: {guests: [5]}}\nguests: {web: {disks: [5]}}\n",
            ["site.yaml:1: jobs.nightly", "site.yaml:2: guests.web"],
        ),
    ],
)
def test_a_configuration_that_cannot_be_read(place, arguments, text, words):
    place.config.write_text(text)
    result = place.run(*arguments)
    assert (result.code, result.out) == (78, "")
    assert all(word in result.err for word in words), result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("arguments", HOOKS)
def test_a_wrong_key(place, arguments):
    place.write(job="lese: 5m\nbackup: {command: {run: 'true'}}")
    words = ["site.yaml:9: jobs.nightly has no key 'lese'; did you mean 'lease'?"]
    assert refused(place, 78, *words, arguments=arguments)


def test_a_wrong_unit(place):
    place.write(job="lease: 5 minutes")
    assert refused(place, 78, "site.yaml:9: jobs.nightly.lease: '5 minutes' is not a time", "90s, 5m, 12h")


def test_wrong_options_of_a_plugin(place):
    place.write(open_="{stranger: {than: x}}")
    assert refused(place, 78, "guests.web.open.0.stranger has no key 'than'; did you mean 'then'?")


def test_a_misspelt_plugin(place):
    place.write(open_="strangr")
    assert refused(place, 78, "open: there is no plugin 'strangr'; did you mean 'stranger'?")


def test_several_mistakes_at_once(place):
    place.write(open_="strangr", job="lese: 1\nbackup: {command: {run: 'tar \"x'}}", disks="relative")
    for word in ("'lese'", "'relative' is not an absolute path", "jobs.nightly.backup.command"):
        assert word in place.run("check").err
    assert place.run("check").code == 78


@pytest.mark.parametrize("command", ["''", "[]", "'tar \"x'", "['']"])
def test_a_backup_command_that_names_no_program(place, command):
    place.write(job=f"backup: {{command: {{run: {command}}}}}")
    assert refused(place, 78, "site.yaml:9: jobs.nightly.backup.command", arguments=("run", "nightly"))


def test_a_job_without_a_backup_is_nothing_to_run(place):
    assert refused(place, 78, "has no 'backup'", arguments=("run", "nightly"))


@pytest.mark.parametrize("backup", ["''", "[]", "{}", "0"])
def test_a_backup_that_is_none(place, backup):
    place.write(job=f"backup: {backup}")
    assert refused(place, 78, "site.yaml:9: backup", arguments=("run", "nightly"))


@pytest.mark.parametrize(
    "arguments", [("pre", "nihgtly"), ("run", "nihgtly"), ("plan", "nihgtly"), ("check", "nihgtly")]
)
def test_an_unknown_job(place, arguments):
    result = place.run(*arguments)
    assert (result.code, result.out) == (66, "")
    assert "There is no job 'nihgtly'; did you mean 'nightly'?" in result.err


@pytest.mark.parametrize("name", ["..", "../../etc", "a/b", ""])
def test_a_job_that_is_no_name_makes_no_file(place, name):
    before = sorted(place.root.rglob("*"))
    assert place.run("pre", name).code == 66
    assert sorted(path for path in place.root.rglob("*") if "__pycache__" not in str(path)) == before


@pytest.mark.parametrize("arguments", HOOKS)
@pytest.mark.parametrize("shape", ["missing", "loop", "too long", "beneath a file", "a folder"])
def test_a_disk_that_is_none(place, arguments, shape):
    disks = {
        "missing": place.root / "none.img",
        "loop": place.root / "loop.img",
        "too long": place.root / ("x" * 300),
        "beneath a file": place.disk / "x",
        "a folder": place.root,
    }
    (place.root / "loop.img").symlink_to("loop.img")
    place.write(disks=str(disks[shape]), job="backup: {command: {run: 'true'}}")
    assert refused(place, 66, f"{disks[shape]}"[:100], "guest web", arguments=arguments)


def test_a_disk_whose_name_is_no_path(place):
    place.write(disks='"/dev/a\\0b"')
    assert place.run("pre", "nightly").code in {66, 78}


def test_all_disks_that_are_missing_are_told_at_once(place):
    place.write(disks="/no/disk/a, /no/disk/b")
    assert refused(place, 66, "/no/disk/a", "/no/disk/b")


def test_a_missing_tool(place):
    place.write(job="backup: {command: {run: no-such-program}}")
    assert refused(place, 69, "«no-such-program» is not installed", arguments=("run", "nightly"))


def test_a_check_tells_what_is_missing_without_changing_anything(place):
    place.disk.unlink()
    place.write(job="backup: {command: {run: no-such-program}}")
    result = place.run("check", "--json")
    [disk, tool] = result.json["jobs"]["nightly"]
    assert (result.code, disk["code"], tool["code"]) == (66, 66, 69)
    assert place.left() == []


def test_a_busy_lock(place, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    process = place.start("pre", "nightly")
    place.eventually(gate.reached.exists)
    result = place.run("pre", "nightly")
    gate.opened.touch()
    assert place.wait(process).silent
    assert (result.code, result.out, result.err.count("\n")) == (69, "", 1)
    assert f"process {process.pid} is running it" in result.err


def full_disk():
    """Let every write fail as on a full disk; the kernel calls it «File too large»."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("arguments", HOOKS)
def test_a_full_disk_for_the_journal(place, arguments):
    place.write(job="backup: {command: {run: 'true'}}")
    assert refused(place, 74, "The journal", "cannot be written", arguments=arguments, preexec_fn=full_disk)


def test_a_full_disk_does_not_stop_letting_go(held_place):
    assert held_place.run("post", "nightly", preexec_fn=full_disk).silent
    assert held_place.left() == []


@pytest.fixture
def read_only_place(held_place):
    """A place with an abandoned hold, where holdstill finds its state folder on a file system that is read-only."""
    [journal] = held_place.state.glob("journals/*.jsonl")
    journal.write_text(journal.read_text().replace(str(held_place.held()[0]["lease_ends"]), "0"))
    usual, state = held_place.command, held_place.state
    mount = f"mount --bind {state} {state} && mount --options remount,ro,bind {state}"
    held_place.command = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *usual)
    yield held_place
    held_place.command = usual
    assert held_place.run("recover").silent
    assert not held_place.tree.exists()


def test_a_read_only_disk_of_journals_keeps_recover_from_letting_go_but_not_a_person(read_only_place):
    result = read_only_place.run("recover")
    assert (result.code, result.out, result.err.count("\n")) == (81, "", 1)
    assert (
        "Read-only file system. Look at its disk; «holdstill held» tells how to let go by hand." in result.err
    )
    [outcome] = read_only_place.run("recover", "--json").json
    assert outcome["job"] == "nightly"
    assert f"{read_only_place.state} cannot be written" in read_only_place.run("check", "nightly").err
    [held] = read_only_place.held()
    assert [one["by_hand"] for one in outcome["still_held"]] == [one["by_hand"] for one in held["holds"]]
    assert read_only_place.run("held").code == 81
    for line in (one["by_hand"] for one in held["holds"]):
        assert read_only_place.shell(["sh", "-c", line]).silent
    assert not (read_only_place.trees / "nightly").exists()


def test_a_read_only_disk_of_journals_fails_a_post_that_finds_its_hold(read_only_place):
    result = read_only_place.run("post", "nightly")
    assert (result.code, result.out, result.err.count("\n")) == (74, "", 1)
    assert "Look at its disk; «holdstill held» tells how to let go by hand." in result.err


def test_a_full_disk_for_the_copy(place):
    def nearly_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    place.disk.write_bytes(b"x" * 100_000)
    assert refused(place, 73, "guest web, snapshot: stranger", "cp", preexec_fn=nearly_full)


def test_a_state_folder_that_cannot_be(place):
    place.state.write_text("a file")
    result = place.run("pre", "nightly")
    assert (result.code, result.err.count("\n")) == (74, 1)


def test_a_configuration_that_others_may_write(place):
    place.config.chmod(0o666)
    assert refused(place, 78, "others may write it", "chmod go-w")


@pytest.mark.parametrize("arguments", [*HOOKS, ("post", "nightly"), ("recover",), ("held",)])
@pytest.mark.parametrize("what", ["state", "trees"])
def test_journals_and_trees_where_others_may_write_are_not_ours(place, arguments, what):
    folder = place.root / what
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    words = [f"{folder} is root's own, but others may write it", f"chmod go-w {folder}"]
    result = place.run(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (77, "", 1)
    assert all(word in result.err for word in words)
    assert list(folder.iterdir()) == []


def test_a_configuration_in_a_folder_that_others_may_write(place):
    place.root.chmod(0o777)
    assert place.run("check").code == 77  # journals and trees are there, too
    own = [f"--{name}={place.root}-{name}" for name in ("state", "trees")]
    assert refused(
        place, 78, f"{place.root}: this is run as root, but others may write it", arguments=[*own, *HOOKS[0]]
    )


def test_a_session_that_is_no_text(place):
    result = place.run("pre", "nightly", "--session", os.fsdecode(b"\xff"))
    assert result.code in {0, 64}
    assert place.run("post", "nightly", "--session", os.fsdecode(b"\xff")).code in {0, 64}
    assert place.left() == []


@pytest.mark.parametrize("key", [os.fsdecode(b"\xff"), "../../x"])
def test_a_session_that_a_hook_reads_from_its_environment_is_taken_as_any_other(place, key):
    environment = os.environ | place.environment | {"KOPIA_SNAPSHOT_ID": key}
    for when in ("before", "after"):
        result = place.run("hook", "--job=nightly", "kopia", when, env=environment)
        assert (result.code, result.err) == (0, "")
    assert place.left() == []


def test_what_a_caller_named_as_the_session_of_runs_is_another_session(place):
    for when, held in (("run-before", ["resticprofile/run"]), ("run-finally", [])):
        environment = os.environ | place.environment | {"PROFILE_NAME": "run"}
        assert place.run("hook", "--job=nightly", "resticprofile", when, env=environment).silent
        assert [one["session"] for one in place.held()] == held


# What needs root and loop devices


def _can_mount():
    return os.geteuid() == 0 and shutil.which("mkfs.ext4") and Path("/dev/loop-control").exists()


@pytest.fixture
def mounted(place):
    """The disk is a file system that is mounted read-write on this host."""
    if not _can_mount():
        pytest.skip("needs root, loop devices and mkfs.ext4")
    place.disk.write_bytes(b"")
    os.truncate(place.disk, 8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", place.disk], check=True, capture_output=True)
    point = place.root / "mnt"
    point.mkdir()
    try:
        done = subprocess.run(["mount", "-o", "loop", place.disk, point], check=False, capture_output=True)
        if done.returncode:
            pytest.skip("this machine does not let us mount")
        yield point
    finally:
        subprocess.run(["umount", "--detach-loop", point], check=False, capture_output=True)


def test_a_disk_that_is_mounted_read_write_here(place, mounted):
    assert refused(place, 69, "is mounted read-write on this host", str(mounted))


def test_a_disk_that_is_mounted_read_write_where_a_name_has_white_space_of_any_kind(place, mounted):
    odd = place.root / "two\u00a0words\fthree"
    odd.mkdir()
    subprocess.run(["mount", "--bind", mounted, odd], check=True)
    subprocess.run(["umount", mounted], check=True)
    try:
        assert refused(place, 69, "is mounted read-write on this host")
    finally:
        subprocess.run(["umount", "--detach-loop", odd], check=True)


def test_a_disk_that_is_mounted_read_only_here_will_do(place, mounted):
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    assert place.run("pre", "nightly").silent
    assert place.run("post", "nightly").silent
    assert place.left() == []
