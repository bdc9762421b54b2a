"""``if-held: release`` on the real host: a real reader's hold is left alone, one that nobody reads is let go of."""

from __future__ import annotations


def test_a_hold_is_taken_over_only_when_nobody_has_a_file_of_it_open(site, new_disk, host_state):
    site.back_up(new_disk().path, open="[partitions, guest-lv, mount]")
    site.config.write_text(site.config.read_text() + "    if-held: release\n")
    before = host_state()
    assert site.call("pre", "nightly", "--session", "old").returncode == 0
    with (site.trees / "nightly/web/boot/vmlinuz").open("rb"):
        refused = site.call("pre", "nightly", "--session", "new")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (69, "", 1)
    assert "is held for the session 'old'" in refused.stderr
    assert "It is read by" in refused.stderr
    assert site.call("pre", "nightly", "--session", "new").returncode == 0
    assert [held["session"] for held in site.held()] == ["new"]
    late = site.call("post", "nightly", "--session", "old")
    assert late.returncode == 79
    assert "the session 'new' took over" in late.stderr
    assert site.call("post", "nightly", "--session", "new").returncode == 0
    assert host_state() == before
