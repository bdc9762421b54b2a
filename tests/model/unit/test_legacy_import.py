"""The configuration of the script «guest_lvm_mounter» becomes one of ours that does the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from holdstill.config.load import load
from holdstill.errors import ConfigError, NotFoundError, UsageError
from holdstill.legacy.script import KNOWN, OldGuest, OldScript, Reader
from holdstill.legacy.write import configuration
from holdstill.plugins.load import find
from holdstill.plugins.registry import Registry
from holdstill.run.job import Resolver
from holdstill.testing import Machine, classic_disk, trial_in
from holdstill.words import RunInfo

HOST = """
# This host
HOST_VG=hostvg
MOUNT_DIR=/mnt/guests
SNAPSHOT_SIZE=100m      # as lvcreate takes it
SERVICE=/etc/init.d/bacula-fd
SVC_SHUTDOWN=yes
SHUTDOWN=1
DEBUG=0
"""
WEB = """
prefix=vg_
GUEST_VG="${prefix}guest1"
GUEST_LV=root
"""


@pytest.fixture
def old(tmp_path):
    """Write the script's files into a folder, ``old(**{"host.conf": …})``; give what is read there."""

    def read(renamed=None, **files):
        folder = tmp_path / "old"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        return Reader(folder, renamed or {}).read()

    return read


@pytest.fixture
def whole(old):
    return old(
        host_conf=HOST, guests_conf='GUESTS="web mail"\n', web_source=WEB, mail_source="HOST_LV=mail-1\n"
    )


def test_the_guests_are_those_of_the_host_with_what_their_own_files_say(whole):
    assert whole.guests == (
        OldGuest(name="web", disk="/dev/hostvg/web", size="100M", root="vg_guest1/root"),
        OldGuest(name="mail", disk="/dev/hostvg/mail-1", size="100M"),
    )


def test_nothing_is_left_out_that_import_knows_or_that_others_are_made_of(whole):
    assert whole.left_out == ()
    assert (whole.service, whole.reboots) == ("bacula-fd", True)


def test_without_a_list_every_source_is_a_guest(old):
    read = old(host_conf="HOST_VG=hostvg", web_source="", mail_source="")
    assert [guest.name for guest in read.guests] == ["mail", "web"]


def test_a_source_that_the_list_does_not_name_is_told(old):
    read = old(host_conf="HOST_VG=hostvg", guests_conf="GUESTS=web", mail_source="GUEST_LV=x")
    assert [guest.name for guest in read.guests] == ["web"]
    assert read.left_out == ("mail.source: GUESTS does not name this guest",)


def test_what_others_in_another_file_are_made_of_is_no_unknown_variable(old):
    read = old(host_conf="prefix=host", web_source="HOST_VG=${prefix}vg")
    assert (read.guests[0].disk, read.left_out) == ("/dev/hostvg/web", ())


def test_why_it_makes_no_configuration_is_told_too(old):
    with pytest.raises(ConfigError) as failed:
        old(host_conf="HOST_VG=$(hostname)", web_source="")
    assert failed.value.complaints == (
        "the guest 'web': its disk is not known: HOST_VG is not set",
        "host.conf:1: «HOST_VG=$(hostname)»: only a shell could tell what that is",
    )


def test_what_one_guest_sets_is_not_the_next_ones(old):
    read = old(host_conf="HOST_VG=a", guests_conf="GUESTS='web db'", web_source="HOST_VG=b\nHOST_LV=c\n")
    assert [guest.disk for guest in read.guests] == ["/dev/b/c", "/dev/a/db"]


@pytest.mark.parametrize(
    ("written", "size"),
    [("5G", "5G"), ("5g", "5G"), ("512", "512M"), ("1.5t", "1.5T"), ("20%origin", "20%ORIGIN"), ("", "")],
)
def test_a_size_is_what_lvcreate_takes_it_for(old, written, size):
    [guest] = old(host_conf=f"HOST_VG=a\nSNAPSHOT_SIZE={written}", web_source="").guests
    assert guest.size == size


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "SNAPSHOT_SIZE=much",
            "host.conf:2: the guest 'web': SNAPSHOT_SIZE=much is no size that import knows",
        ),
        ("SHUTDOWN=perhaps", "host.conf:2: SHUTDOWN=perhaps says neither yes nor no; it is taken for no"),
        ("SVC_SHUTDOWN=1", "SVC_SHUTDOWN is set, but SERVICE names no service"),
        ("COLOUR=red", "host.conf:2: COLOUR is no variable that import knows"),
        ("SHUTDOWN=`cat x`", "host.conf:2: «SHUTDOWN=`cat x`»: only a shell could tell what that is"),
    ],
)
def test_what_is_not_taken_over_is_told_and_does_nothing(old, line, told):
    read = old(host_conf=f"HOST_VG=a\n{line}\n", web_source="")
    assert read.left_out == (told,)
    assert (read.service, read.reboots) == ("", False)


def test_a_script_with_other_words_is_read_with_them(old):
    read = old({"VG": "HOST_VG", "NAMES": "GUESTS"}, host_conf="VG=hostvg\nNAMES=web")
    assert (read.guests[0].disk, read.left_out) == ("/dev/hostvg/web", ())


def test_a_word_that_nobody_knows_cannot_be_meant(old):
    with pytest.raises(UsageError, match="no variable 'HOSTVG'; did you mean 'HOST_VG'"):
        old({"VG": "HOSTVG"})


def test_all_that_makes_no_configuration_is_told_at_once(old):
    with pytest.raises(ConfigError) as failed:
        old(guests_conf="GUESTS='web -x'", web_source="GUEST_VG=a/b\n")
    assert [sentence.partition(": ")[0] for sentence in failed.value.complaints] == [
        "the guest 'web'", "the guest 'web'", "the guest '-x'", "the guest '-x'",
    ]  # fmt: skip


def test_a_folder_with_nothing_of_it_is_told(old):
    with pytest.raises(NotFoundError, match="nothing to import"):
        old()


def test_a_comment_from_before_utf_8_is_no_hindrance(old, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "host.conf").write_bytes(b"# Gr\xf6\xdfe\nHOST_VG=hostvg\n")
    read = old(web_source="")
    assert read.guests[0].disk == "/dev/hostvg/web"
    assert read.left_out == ("host.conf is not text in UTF-8, and was read as Latin-1",)


# What is written


@pytest.fixture
def complaints(tmp_path):
    """Give all that is wrong with a configuration, its plugins and their options too."""
    place = tmp_path / "new.yaml"

    def told(text):
        place.write_text(text)
        config, typist, found = load(place)
        for job in config.jobs:
            info = RunInfo(id="run", job=job, trees=f"/run/holdstill/{job}")
            Resolver(config, Registry(find(tmp_path / "none")), typist, info).job()
        return found._sentences

    return told


def test_what_is_written_is_a_configuration_that_says_the_same(whole, complaints):
    text = configuration(whole, "/etc/old")
    assert complaints(text) == []
    assert yaml.safe_load(text) == {
        "guests": {
            "web": {
                "disks": ["/dev/hostvg/web"],
                "snapshot": {"lvm": {"size": "100M"}},
                "open": ["partitions", "guest-lv", {"mount": {"root": "vg_guest1/root"}}],
            },
            "mail": {"disks": ["/dev/hostvg/mail-1"], "snapshot": {"lvm": {"size": "100M"}}},
        },
        "jobs": {
            "guests": {
                "guests": ["web", "mail"],
                "lease": "1d",
                "release-within": "10m",
                "around": [
                    {"service": {"units": ["bacula-fd"], "grace": "5m"}},
                    {"reboot": {"really": True}},
                ],
            }
        },
    }


def test_what_only_a_shell_could_tell_is_not_said_to_have_been_off(old):
    read = old(host_conf="HOST_VG=a\nif true; then\nSERVICE=s\nSVC_SHUTDOWN=1\nfi\n", web_source="")
    assert read.unknown == {"SERVICE", "SVC_SHUTDOWN"}
    assert read.left_out[0].endswith("to the file's end, and so with SERVICE, SVC_SHUTDOWN")
    text = configuration(read, "/etc/old")
    assert "What SVC_SHUTDOWN was is not known: see above." in text
    assert "SVC_SHUTDOWN was off" not in text
    assert "# SHUTDOWN was off." in text


def test_without_a_service_and_a_reboot_none_is_around(old, complaints):
    text = configuration(old(host_conf="HOST_VG=a", web_source=""), "/etc/old")
    assert complaints(text) == []
    assert "around" not in yaml.safe_load(text)["jobs"]["guests"]


@pytest.mark.parametrize(
    ("folder", "job", "said"),
    [
        (
            "/mnt/guests",
            "guests",
            "in /mnt/guests/GUEST. For that, call «holdstill --trees=/mnt pre guests».",
        ),
        ("/srv/snap/nightly", "nightly", "in /srv/snap/nightly/GUEST. For that"),
        ("/mnt", "guests", "in /run/holdstill/guests/GUEST, no longer in /mnt: tell your backup software."),
        ("", "guests", "in /run/holdstill/guests/GUEST."),
    ],
)
def test_the_guests_are_where_the_backup_finds_them_if_that_can_be(whole, folder, job, said):
    text = configuration(replace(whole, mounted_in=folder), "/etc/old")
    assert list(yaml.safe_load(text)["jobs"]) == [job]
    assert said in " ".join(line.removeprefix("# ") for line in text.splitlines())


def test_what_was_not_taken_over_is_in_the_configuration_too(old):
    text = configuration(old(host_conf="HOST_VG=a\nCOLOUR=red", web_source=""), "/etc/old")
    assert "# - host.conf:2: COLOUR is no variable that import knows\n" in text


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True)
OLD = st.builds(
    OldScript,
    files=st.just(("host.conf",)),
    guests=st.lists(
        st.builds(
            OldGuest,
            name=NAMES,
            disk=NAMES.map("/dev/hostvg/".__add__),
            size=st.sampled_from(["", "5G", "0.5T", "20%ORIGIN"]),
            root=st.one_of(st.just(""), st.tuples(NAMES, NAMES).map("/".join)),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda guest: guest.name,
    ).map(tuple),
    service=st.one_of(st.just(""), NAMES.map("bacula-".__add__)),
    reboots=st.booleans(),
    mounted_in=st.text(max_size=20),
    left_out=st.lists(st.text(max_size=40)).map(tuple),
)


@given(old=OLD)
@settings(max_examples=25, derandomize=True)
def test_whatever_was_set_is_written_as_a_configuration_that_says_just_that(tmp_path_factory, old):
    place = tmp_path_factory.mktemp("new") / "new.yaml"
    place.write_text(configuration(old, "/etc/o\nld"))
    config, _, complaints = load(place)
    assert complaints._sentences == []
    assert {name: guest.disks for name, guest in config.guests.items()} == {
        guest.name: [guest.disk] for guest in old.guests
    }
    [job] = config.jobs.values()
    assert job.guests == [guest.name for guest in old.guests]
    assert len(job.around) == bool(old.service) + old.reboots


def two_guests(machine: Machine) -> None:
    """Have the disks and the service that the script's files are of."""
    machine.add_volume("hostvg/web", classic_disk())
    machine.add_volume("hostvg/mail-1", classic_disk())
    machine.add_service("bacula-fd")


def test_on_the_scripts_own_kind_of_disk_it_holds_and_lets_go(whole, tmp_path):
    trial = trial_in(tmp_path / "machine", configuration(whole, "/etc/old"), two_guests)
    assert trial.pre("guests").sentence == ""
    assert {mount.point for mount in trial.machine.kernel.mounts} == {
        f"{trial.places.trees}/guests/{path}" for path in ("web", "web/boot", "mail", "mail/boot")
    }
    [outcome] = trial.post("guests")
    assert outcome.ok
    assert trial.state() == trial.before


def test_every_known_variable_is_on_the_page():
    page = Path(__file__).parents[3] / "docs" / "how-to" / "move-over-from-the-script.md"
    rows = [line for line in page.read_text().splitlines() if re.match(r"\| `[A-Z_]+` \|", line)]
    assert rows == [f"| `{name}` | {what} |" for name, what in KNOWN.items()]
