"""Where events go, and that what a guest wrote cannot harm whoever reads them."""

from __future__ import annotations

import io
import socket
import struct

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from holdstill import log
from holdstill.log import screen, syslog
from holdstill.log.screen import Screen

anything = st.text(st.characters(), max_size=50)
fields = st.dictionaries(st.sampled_from(["job", "run", "guest", "step", "why", "sources"]), anything)
SEVERAL_FIELDS = {
    "event": "made",
    "level": "info",
    "job": "nightly",
    "run": "r1",
    "guest": "web",
    "step": "lvm",
}


def shown(event, method="info"):
    """What a terminal gets of an event."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", io.StringIO())
        Screen()(method, event)
        return screen.sys.stderr.getvalue()


def read_journal_fields(datagram):
    """Read what systemd's journal reads (its native protocol): names, and values framed by their length."""
    found = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        [length] = struct.unpack("<Q", rest[:8])
        found[name.decode()] = rest[8 : 8 + length].decode()
        assert rest[8 + length : 9 + length] == b"\n"
        datagram = rest[9 + length :]
    return found


# What cannot get through


@given(anything, fields, st.one_of(st.none(), anything))
def test_no_control_character_reaches_syslog(text, more, exception):
    event = {"event": text, **more} | ({"exception": exception} if exception is not None else {})
    assert syslog.for_syslog(6, event).decode().isprintable()


@given(anything, fields, st.one_of(st.none(), anything))
def test_no_control_character_reaches_the_journals_message_but_the_line_feeds_of_a_traceback(
    text, more, exception
):
    event = {"event": text, **more} | ({"exception": exception} if exception is not None else {})
    lines = read_journal_fields(syslog.for_journal(6, event))["MESSAGE"].split("\n")
    assert all(line.isprintable() for line in lines)
    assert exception is not None or len(lines) == 1


@given(anything, fields, anything, st.sampled_from(["debug", "info", "warning", "error"]))
def test_no_control_character_reaches_the_terminal_but_our_own_colours(text, more, exception, method):
    tame = shown({"event": "x", **dict.fromkeys(more, "x"), "exception": "x"}, method)
    wild = shown({"event": text + "!", **more, "exception": exception}, method)
    assert wild.count("\x1b") == tame.count("\x1b")
    assert all(line.replace("\x1b", "").isprintable() for line in wild.split("\n"))


def test_a_traceback_is_shown_line_by_line():
    lines = shown({"event": "a defect", "exception": "Traceback:\n  here\nValueError: \x1b[2J"}).splitlines()
    assert lines[1:] == ["Traceback:", "  here", "ValueError: \\x1b[2J"]


def test_a_list_is_shown_as_its_entries():
    assert "sources=/a,/b" in shown({"event": "opened", "sources": ["/a", "/b"]})


def test_a_closed_standard_error_is_not_replaced_by_standard_output(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", None)
    Screen()("info", {"event": "x"})
    assert capsys.readouterr().out == ""


# Forms


def test_syslog_gets_facility_daemon_its_priority_the_tag_and_all_fields(mocker):
    mocker.patch("os.getpid", return_value=42)
    expected = b"<29>holdstill[42]: made job=nightly run=r1 guest=web step=lvm"
    assert syslog.for_syslog(5, SEVERAL_FIELDS) == expected


def test_syslog_gets_a_traceback_as_one_line():
    line = syslog.for_syslog(3, {"event": "a defect", "exception": "one\ntwo"})
    assert line.endswith(b": a defect#012one#012two")


def test_the_journal_gets_the_fields_by_which_it_can_be_searched():
    assert read_journal_fields(syslog.for_journal(5, SEVERAL_FIELDS)) == {
        "MESSAGE": "made job=nightly run=r1 guest=web step=lvm",
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "holdstill",
        "HOLDSTILL_JOB": "nightly",
        "HOLDSTILL_RUN": "r1",
        "HOLDSTILL_GUEST": "web",
        "HOLDSTILL_STEP": "lvm",
    }


@given(anything, anything)
def test_no_value_can_forge_a_field_of_the_journal(text, guest):
    found = read_journal_fields(syslog.for_journal(6, {"event": text, "guest": f"a\nPRIORITY=0\n{guest}"}))
    assert set(found) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "HOLDSTILL_GUEST"}
    assert found["PRIORITY"] == "6"


@given(st.sampled_from("a€\U0001f600\x1b"), st.integers(0, 100_000))
def test_a_message_that_is_too_long_is_cut_so_that_the_datagram_stays_valid(char, length):
    datagram = syslog.for_journal(6, {"event": char * length, "exception": char * length, "job": "nightly"})
    assert len(datagram) <= syslog.LONGEST
    assert read_journal_fields(datagram)["HOLDSTILL_JOB"] == "nightly"


# Sinks


@pytest.fixture
def listening(tmp_path, monkeypatch):
    """Sockets where syslog and the journal are on other hosts; begin one by its name."""
    opened = []

    def listen(name):
        path = str(tmp_path / name.lower())
        monkeypatch.setattr(syslog, name, path)
        opened.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        opened[-1].bind(path)
        opened[-1].setblocking(False)
        return opened[-1]

    monkeypatch.setattr(syslog, "JOURNAL", str(tmp_path / "nowhere"))
    monkeypatch.setattr(syslog, "SYSLOG", str(tmp_path / "nowhere"))
    yield listen
    for one in opened:
        one.close()


@pytest.fixture
def sink():
    made = []

    def make():
        made.append(syslog.sink())
        return made[-1]

    yield make
    for one in made:
        if one:
            one._socket.close()


@pytest.mark.usefixtures("listening")
def test_a_host_without_syslog_has_no_sink(sink):
    assert sink() is None


def test_the_journal_is_asked_before_syslog(listening, sink):
    journal, plain = listening("JOURNAL"), listening("SYSLOG")
    sink()("warning", SEVERAL_FIELDS)
    assert read_journal_fields(journal.recv(65536))["PRIORITY"] == "4"
    with pytest.raises(BlockingIOError):
        plain.recv(65536)


def test_without_a_journal_events_go_to_syslog(listening, sink):
    plain = listening("SYSLOG")
    sink()("error", {"event": "failed"})
    assert plain.recv(65536).startswith(b"<27>holdstill[")


def test_a_long_event_arrives_cut_rather_than_not_at_all(listening, sink):
    plain = listening("SYSLOG")
    sink()("error", {"event": "x" * 200_000})
    assert len(plain.recv(1 << 20)) == syslog.LONGEST


@pytest.mark.usefixtures("clean_logging")
def test_a_log_that_nobody_reads_any_more_stops_nothing(listening, sink):
    listening("SYSLOG")
    log.configure([sink()], level="debug")
    for _ in range(5000):  # more than its queue takes
        structlog.get_logger().info("x" * 1000)


@pytest.mark.parametrize(
    "error", [OSError(28, "full"), ValueError("closed"), TypeError("odd"), RuntimeError("gone")]
)
@pytest.mark.usefixtures("clean_logging")
def test_a_sink_that_raises_keeps_nothing_from_the_others(error):
    heard = []

    def broken(_method, event):
        event.clear()
        raise error

    log.configure([broken, lambda method, event: heard.append((method, event["event"]))])
    structlog.get_logger().error("failed")
    assert heard == [("error", "failed")]


@pytest.mark.usefixtures("clean_logging")
def test_a_value_that_cannot_be_shown_does_not_break_a_run():
    class Odd:
        def __str__(self):
            raise RuntimeError("no")

    log.configure([Screen()])
    structlog.get_logger().info("made", value=Odd())


@pytest.mark.usefixtures("clean_logging")
def test_events_below_the_level_are_not_told():
    heard = []
    log.configure([lambda _, event: heard.append(event["event"])], level="warning")
    logger = structlog.get_logger()
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    logger.error("e")
    assert heard == ["w", "e"]


@pytest.mark.usefixtures("clean_logging")
def test_events_tell_of_which_run_they_are_and_exceptions_become_text():
    heard = []
    log.configure([lambda _, event: heard.append(dict(event))])
    with structlog.contextvars.bound_contextvars(job="nightly", run="r1"):
        try:
            raise ValueError("odd")
        except ValueError:
            structlog.get_logger().exception("a defect")
    [event] = heard
    assert (event["job"], event["run"], event["event"]) == ("nightly", "r1", "a defect")
    assert event["exception"].splitlines()[-1] == "ValueError: odd"


@pytest.mark.parametrize("stream", [None, io.StringIO(), io.BytesIO()])
def test_what_is_no_terminal_is_none(monkeypatch, stream):
    monkeypatch.setattr("sys.stderr", stream)
    assert log.stderr_is_terminal() is False


def test_a_closed_stream_is_no_terminal(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    assert log.stderr_is_terminal() is False
