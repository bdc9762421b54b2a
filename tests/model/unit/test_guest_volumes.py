"""Tables for a guest's volumes: what LVM reports of good metadata and of hostile ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdstill.host import Answer, Node, NodeKind
from holdstill.plugin import Device, GuestUnusableError
from holdstill_plugins.guest_maps import Maps
from holdstill_plugins.guest_metadata import read_groups

MIB = 1 << 20
EXTENT, FIRST = 4 * MIB, MIB
SECTORS = EXTENT // 512
EXTENTS = 20
STARTS = {"/dev/loop0": MIB, "/dev/loop1": 200 * MIB}
DISKS = tuple(
    Device(name=f"p{number}", path=path, store="/dev/snap", start=start, size=FIRST + EXTENTS * EXTENT)
    for number, (path, start) in enumerate(STARTS.items())
)


class LVM:
    """A host on which LVM reports what it is told to."""

    def __init__(self, report):
        self.report = report

    def ask(self, *argv, **_):
        return Answer(argv, 0, out=json.dumps({"report": self.report}))

    def look(self, path):
        names = ["/dev/loop0", "/dev/loop1", "/dev/host"]
        return Node(kind=NodeKind.BLOCK, size=1, number=f"7:{names.index(path)}") if path in names else None


def lv(name, extents, *segments, **fields):
    """An LV and its segments as LVM reports them."""
    named = {
        "lv_name": name,
        "lv_size": str(extents * SECTORS),
        "lv_attr": "-wi",
        "origin": "",
        "metadata_lv": "",
    }
    at, listed = 0, []
    for entry in segments:
        listed.append({"lv_name": name, "seg_start": str(at * SECTORS), **entry})
        at += int(entry["seg_size"]) // SECTORS
    return named | fields, listed


def seg(kind, extents, devices="", **fields):
    plain = dict.fromkeys(("metadata_devices", "pool_lv", "thin_id"), "")
    numbers = {"stripe_size": "0", "region_size": "4096", "chunk_size": "128"}
    size = {"segtype": kind, "seg_size": str(extents * SECTORS), "devices": devices}
    return plain | numbers | size | fields


def report(*volumes, group="vg0"):
    return {
        "vg": [{"vg_name": group, "vg_extent_size": str(SECTORS)}],
        "pv": [{"pv_name": path, "pe_start": str(FIRST // 512)} for path in STARTS],
        "lv": [volume for volume, _ in volumes],
        "seg": [entry for _, segments in volumes for entry in segments],
    }


def tables(*volumes):
    """Give the name and table of every map, for all volumes that are not hidden."""
    groups = read_groups(LVM([report(*volumes)]), DISKS, list(STARTS))
    maps = Maps("m", {"/dev/snap": "/dev/snap"})
    for group in groups:
        for volume in group.values():
            if not volume.hidden:
                maps.add(group, volume)
    return [(planned.title, planned.table) for planned in maps.all]


def sector(disk, extent):
    return (DISKS[disk].start + FIRST + extent * EXTENT) // 512


LEGS = "root_rimage_0(0),root_rimage_1(0)"
RAID = seg("raid1", 3, LEGS, metadata_devices="root_rmeta_0(0),root_rmeta_1(0)")
MIRROR = (
    lv("root", 3, RAID),
    lv("[root_rimage_0]", 3, seg("linear", 3, "/dev/loop0(1)")),
    lv("[root_rmeta_0]", 1, seg("linear", 1, "/dev/loop0(0)")),
    lv("[root_rimage_1]", 3, seg("linear", 3, "/dev/loop1(1)")),
    lv("[root_rmeta_1]", 1, seg("linear", 1, "/dev/loop1(0)")),
)
POOL = (
    lv("pool", 4, seg("thin-pool", 4, "pool_tdata(0)"), metadata_lv="[pool_tmeta]"),
    lv("[pool_tdata]", 4, seg("linear", 4, "/dev/loop0(1)")),
    lv("[pool_tmeta]", 1, seg("linear", 1, "/dev/loop1(0)")),
)


def test_pieces_on_several_disks_come_in_order():
    pieces = seg("linear", 2, "/dev/loop1(5)"), seg("linear", 1, "/dev/loop0(0)")
    lines = f"0 {2 * SECTORS} linear /dev/snap {sector(1, 5)},{2 * SECTORS} {SECTORS} linear /dev/snap {sector(0, 0)}"
    assert tables(lv("root", 3, *pieces)) == [("vg0/root", lines)]


def test_stripes_have_their_size_and_places():
    striped = seg("striped", 4, "/dev/loop0(1),/dev/loop1(3)", stripe_size="128")
    [(_, table)] = tables(lv("root", 4, striped))
    assert table == f"0 {4 * SECTORS} striped 2 128 /dev/snap {sector(0, 1)} /dev/snap {sector(1, 3)}"


def test_a_mirrors_legs_and_superblocks_come_before_it():
    *parts, (title, table) = tables(*MIRROR)
    assert [part for part, _ in parts] == [
        *("vg0/root_rmeta_0", "vg0/root_rimage_0", "vg0/root_rmeta_1", "vg0/root_rimage_1")
    ]
    legs = "/dev/mapper/m-0 /dev/mapper/m-1 /dev/mapper/m-2 /dev/mapper/m-3"
    assert title == "vg0/root"
    assert table == f"0 {3 * SECTORS} raid raid1 5 0 region_size 4096 max_recovery_rate 1 2 {legs}"


def test_a_leg_that_lvm_gave_up_is_left_out():
    lost = lv("[root_rimage_1]", 3, seg("error", 3))
    *_, (_, table) = tables(*MIRROR[:3], lost, MIRROR[4])
    assert table.endswith("2 /dev/mapper/m-0 /dev/mapper/m-1 - -")


def test_a_mirror_without_legs_is_refused():
    lost = [lv(f"[root_rimage_{number}]", 3, seg("error", 3)) for number in (0, 1)]
    with pytest.raises(GuestUnusableError, match="vg0/root has lost all"):
        tables(MIRROR[0], MIRROR[2], MIRROR[4], *lost)


def test_thin_volumes_share_their_pool():
    thin = [lv(f"t{number}", 9, seg("thin", 9, pool_lv="pool", thin_id=str(number))) for number in (1, 2)]
    assert tables(*thin, *POOL)[2:] == [
        (
            "vg0/pool",
            f"0 {4 * SECTORS} thin-pool /dev/mapper/m-0 /dev/mapper/m-1 128 0 2 ignore_discard error_if_no_space",
        ),
        ("vg0/t1", f"0 {9 * SECTORS} thin /dev/mapper/m-2 1"),
        ("vg0/t2", f"0 {9 * SECTORS} thin /dev/mapper/m-2 2"),
    ]


def test_a_snapshot_in_its_origins_pool_is_opened():
    thin = lv("t", 9, seg("thin", 9, pool_lv="pool", thin_id="1"))
    snapshot = lv("s", 9, seg("thin", 9, pool_lv="pool", thin_id="2"), origin="t")
    assert tables(thin, snapshot, *POOL)[-1] == ("vg0/s", f"0 {9 * SECTORS} thin /dev/mapper/m-2 2")


THIN = lv("t", 9, seg("thin", 9, pool_lv="pool", thin_id="1"))
HOSTILE = {
    "the host's disk": ([lv("root", 1, seg("linear", 1, "/dev/host(0)"))], "none of the guest's disks"),
    "a disk that is not there": ([lv("root", 1, seg("linear", 1, "[unknown](0)"))], "none of the guest's disks"),
    "a path as a volume": ([lv("root", 1, seg("linear", 1, "../host(0)"))], "where a disk is expected"),
    "past the end": ([lv("root", 2, seg("linear", 2, f"/dev/loop0({EXTENTS - 1})"))], "past the end of p0"),
    "huge": ([lv("root", 1 << 50, seg("linear", 1 << 50, "/dev/loop0(0)"))], "past the end of p0"),
    "far": ([lv("root", 1, seg("linear", 1, f"/dev/loop0({1 << 60})"))], "past the end of p0"),
    "a stripe past the end": (
        [lv("root", 4, seg("striped", 4, f"/dev/loop0(0),/dev/loop1({EXTENTS - 1})", stripe_size="128"))],
        "past the end of p1",
    ),
    "stripes of no size": (
        [lv("root", 4, seg("striped", 4, "/dev/loop0(0),/dev/loop1(0)"))],
        "stripes that do not fit",
    ),
    "two volumes in one place": (
        [lv("root", 3, seg("linear", 3, "/dev/loop0(0)")), lv("b", 2, seg("linear", 2, "/dev/loop0(2)"))],
        "lie on the same bytes",
    ),
    "one place twice": (
        [lv("root", 2, seg("linear", 1, "/dev/loop0(0)"), seg("linear", 1, "/dev/loop0(0)"))],
        "lie on the same bytes",
    ),
    "longer than its pieces": ([lv("root", 9, seg("linear", 1, "/dev/loop0(0)"))], "not as long as its pieces"),
    "words for a place": ([lv("root", 1, seg("linear", 1, "/dev/loop0"))], "cannot be read"),
    "a mirror of itself": (
        [lv("root", 1, seg("raid1", 1, "root(0)", metadata_devices="root(0)"))],
        "root stands on itself",
    ),
    "a pool on its own volume": (
        [
            THIN,
            lv("pool", 9, seg("thin-pool", 9, "t(0)"), metadata_lv="[pool_tmeta]"),
            POOL[2],
        ],
        "stands on itself",
    ),
    "a leg of another length": (
        [MIRROR[0], lv("[root_rimage_0]", 2, seg("linear", 2, "/dev/loop0(1)")), *MIRROR[2:]],
        "not as long as its leg",
    ),
    "a leg that is not there": ([*MIRROR[:3], MIRROR[4]], "lacks a part"),
    "legs without superblocks": (
        [lv("root", 3, seg("raid1", 3, LEGS)), *MIRROR[1:]],
        "without superblocks",
    ),
    "a pool longer than its data": (
        [THIN, lv("pool", 5, seg("thin-pool", 5, "pool_tdata(0)"), metadata_lv="[pool_tmeta]"), *POOL[1:]],
        "not as long as its part",
    ),
    "a pool that is none": ([THIN, lv("pool", 1, seg("linear", 1, "/dev/loop0(0)"))], "is no pool"),
    "an origin outside the pool": (
        [
            lv("t", 9, seg("thin", 9, pool_lv="pool", thin_id="1"), origin="root"),
            lv("root", 1, seg("linear", 1, "/dev/loop0(9)")),
            *POOL,
        ],
        "origin outside its pool",
    ),
    "pieces that begin at one place": (
        [lv("root", 4, seg("linear", 1, "/dev/loop0(9)"), *MIRROR[0][1]), *MIRROR[1:]],
        "pieces that overlap",
    ),
    "a mirror in part": (
        [lv("root", 4, seg("linear", 1, "/dev/loop0(9)"), RAID), *MIRROR[1:]],
        "raid1 in part only",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("volumes", "told"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_cannot_be_trusted_is_refused_by_name(volumes, told):
    with pytest.raises(GuestUnusableError, match=told) as refused:
        tables(*volumes)
    assert "vg0/" in str(refused.value)


@pytest.mark.parametrize("kind", ["cache", "writecache", "vdo", "raid5", "raid10", "mirror", "snapshot"])
def test_other_kinds_are_refused_with_another_way(kind):
    with pytest.raises(GuestUnusableError, match=f"vg0/root is {kind}, .*name 'guest-vg' instead"):
        tables(lv("root", 1, seg(kind, 1, "root_corig(0)")))


def test_groups_of_one_name_are_refused():
    one, two = (report(lv("root", 1, seg("linear", 1, f"/dev/loop{number}(0)"))) for number in (0, 1))
    with pytest.raises(GuestUnusableError, match="several volume groups have one name"):
        read_groups(LVM([one, two]), DISKS, list(STARTS))


def test_a_disk_that_lvm_passes_over_is_named():
    seen = report(lv("root", 1, seg("linear", 1, "/dev/loop0(0)")))
    seen["pv"] = seen["pv"][:1]
    with pytest.raises(GuestUnusableError, match="what is on p1: it does not show it"):
        read_groups(LVM([seen]), DISKS, list(STARTS))


NAMES = st.sampled_from(["a", "b", "c", "[a]", "[b_rimage_0]", "[d]"])
DISK = st.sampled_from(["/dev/loop0", "/dev/loop1"])
ODD = st.sampled_from(["/dev/host", "a", "b", "c", "d", "b_rimage_0", "[unknown]"])
PLACE = st.builds("{}({})".format, DISK, st.integers(0, EXTENTS + 2))
PLACES = st.lists(PLACE | st.builds("{}(0)".format, ODD), max_size=3).map(",".join)
PLAIN = st.one_of(
    st.builds(seg, st.just("linear"), st.integers(1, 4), PLACE),
    st.builds(
        seg,
        st.just("striped"),
        st.sampled_from([2, 4]),
        st.builds("{},{}".format, PLACE, PLACE),
        stripe_size=st.just("128"),
    ),
)
WILD = st.builds(
    seg,
    st.sampled_from(["linear", "striped", "raid1", "thin-pool", "thin", "error"]),
    st.integers(0, 6),
    PLACES,
    metadata_devices=PLACES,
    stripe_size=st.sampled_from(["0", "8", "128"]),
    pool_lv=st.sampled_from(["", "a", "c"]),
)


@st.composite
def volume(draw, name):
    segments = draw(st.lists(st.one_of(PLAIN, PLAIN, PLAIN, WILD), min_size=1, max_size=2))
    extents = sum(int(entry["seg_size"]) for entry in segments) // SECTORS
    return lv(
        name,
        draw(st.sampled_from([extents, extents, extents, extents, 3])),
        *segments,
        metadata_lv=draw(NAMES),
    )


@settings(max_examples=300)
@given(st.lists(NAMES, unique=True, max_size=3).flatmap(lambda names: st.tuples(*map(volume, names))))
def test_whatever_the_metadata_say_all_is_on_the_guests_disks_or_refused(volumes):
    try:
        planned = tables(*volumes)
    except GuestUnusableError:
        return
    for number, (_, table) in enumerate(planned):
        for line in table.split(","):
            assert_inside(line.split(), number)


def assert_inside(words, number):
    _, length, _, *rest = words
    stripes = int(rest[0]) if words[2] == "striped" else 1
    for place, following in zip(rest, [*rest[1:], ""], strict=True):
        if place == "/dev/snap":
            start, size = int(following) * 512, int(length) * 512 // stripes
            assert any(disk.start <= start and start + size <= disk.start + disk.size for disk in DISKS)
        elif place.startswith("/"):
            assert place in {f"/dev/mapper/m-{earlier}" for earlier in range(number)}
