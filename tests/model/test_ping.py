"""``ping``: a watcher of cron jobs hears of the beginning and the end of each run, or that is logged."""

from __future__ import annotations

import socket
import threading
import uuid

import pytest
import structlog

from holdstill.errors import ExitCode, UnavailableError
from holdstill.run.plan import plan, pretend
from holdstill.run.prepare import complaints_of
from holdstill.run.start import new_info, resolve
from holdstill.testing import Trial, classic_disk, trial_in
from holdstill_plugins import ping

CONFIGURATION = """
guests:
  web: {disks: [/dev/hostvg/web]}
jobs:
  nightly: {guests: [web], backup: {command: {run: backup-program}}}
around: {ping: {url: "{root}/ping.url", deadline: 20}}
"""
WORD = "3a0f27f2-4a1b"


@pytest.fixture
def trial(tmp_path, ear):
    """A job on a modelled machine, of which a watcher hears."""
    made = trial_in(
        tmp_path / "machine", CONFIGURATION, lambda machine: machine.add_volume("hostvg/web", classic_disk())
    )
    made.machine.programs["backup-program"] = lambda _trees: 0
    watched_at(made, f"http://{ear.at}/{WORD}")
    return made


def watched_at(trial: Trial, url: str) -> None:
    """Set the watcher's URL."""
    (trial.machine.root / "ping.url").write_text(f"{url}\n")
    (trial.machine.root / "ping.url").chmod(0o600)


def fails(_trees):
    return 3


@pytest.fixture
def log():
    with structlog.testing.capture_logs() as events:
        yield events


def errors(log) -> list[str]:
    return [event["why"] for event in log if event["event"] == "not pinged"]


# What the watcher hears


def test_a_good_run_is_told_at_its_beginning_and_its_end(trial, ear):
    assert trial.run().ok
    assert ear.paths() == [f"/{WORD}/start", f"/{WORD}"]


def test_both_bear_the_same_uuid_and_another_run_another(trial, ear):
    trial.run()
    trial.run()
    first, second = [one.query["rid"] for one in ear.heard[::2]]
    assert [one.query["rid"] for one in ear.heard] == [first, first, second, second]
    assert uuid.UUID(first[0]).version == 5
    assert first != second


def test_a_failure_is_told_with_its_reason(trial, ear):
    trial.machine.programs["backup-program"] = fails
    trial.run()
    assert ear.paths() == [f"/{WORD}/start", f"/{WORD}/fail"]
    assert "The backup command failed" in ear.heard[-1].body


def test_a_refused_run_fails_without_having_begun(trial, ear):
    trial.machine.kernel.free["hostvg"] = 0
    trial.run()
    assert ear.paths() == [f"/{WORD}/fail"]


def test_pre_begins_and_post_ends_the_same_run(trial, ear):
    trial.pre()
    assert ear.paths() == [f"/{WORD}/start"]
    trial.post()
    assert ear.paths()[1:] == [f"/{WORD}"]
    assert ear.heard[0].query == ear.heard[1].query


def test_a_hold_that_nobody_called_post_for_has_failed(trial, ear):
    trial.pre()
    trial.pre()
    assert ear.paths() == [f"/{WORD}/start", f"/{WORD}/fail", f"/{WORD}/start"]


def test_a_query_of_the_url_is_kept(trial, ear):
    watched_at(trial, f"http://{ear.at}/key/nightly/?create=1")
    trial.run()
    assert ear.paths() == ["/key/nightly/start", "/key/nightly"]
    assert {one.query["create"][0] for one in ear.heard} == {"1"}


def test_neither_a_check_nor_a_plan_pings(trial, ear):
    site, info = trial.site, new_info(trial.site, "nightly")
    run = pretend(site, info, resolve(site, info))
    assert complaints_of(run) == []
    run.plugins.phase("holdstill_prepare", run=run)
    plan(site, info, resolve(site, info))
    assert ear.heard == []


# Pings that do not get through


@pytest.mark.parametrize("status", sorted(ping.LATER))
def test_a_server_in_trouble_is_asked_again(trial, ear, status, log):
    ear.answers = [status, status]
    assert trial.run().ok
    assert ear.paths() == [f"/{WORD}/start"] * 3 + [f"/{WORD}"]
    assert errors(log) == []


def test_it_is_asked_a_few_times_only(trial, ear, log):
    ear.answers = [503] * 100
    assert trial.run().ok
    assert len(ear.heard) == 2 * (1 + len(ping.PAUSES))
    assert errors(log) == ["it answered 503"] * 2


def test_a_refusal_is_not_asked_again(trial, ear, log):
    ear.answers = [404, 404]
    assert trial.run().ok
    assert len(ear.heard) == 2
    assert errors(log) == ["it answered 404"] * 2


def test_a_server_that_does_not_answer_is_given_up_at_the_deadline(trial, ear, log):
    config = trial.places.config
    config.write_text(config.read_text().replace("deadline: 20", "deadline: 0.2"))
    ear.silent.set()
    assert trial.run().ok
    assert len(errors(log)) == 2


def test_what_was_given_up_is_not_tried_again_later(trial, ear, monkeypatch):
    config = trial.places.config
    config.write_text(config.read_text().replace("deadline: 20", "deadline: 2.4"))
    ear.silent.set()
    monkeypatch.setattr(ping, "PATIENCE", 2.0)
    trial.run()
    for thread in [thread for thread in threading.enumerate() if thread.name == "bounded"]:
        thread.join(30)
    assert ear.paths() == [f"/{WORD}/start", f"/{WORD}"]


def test_nobody_at_that_address_is_logged_without_the_secret(trial, log):
    watched_at(trial, f"http://127.0.0.1:9/{WORD}")
    assert trial.run().ok
    assert "refused" in errors(log)[0]
    assert WORD not in str(log)


def test_an_answer_that_is_no_http_is_logged(trial, log):
    with socket.create_server(("127.0.0.1", 0)) as server:
        watched_at(trial, f"http://127.0.0.1:{server.getsockname()[1]}/{WORD}")
        ended = Answering(server)
        assert trial.run().ok
        ended.stop()
    assert errors(log)[0] == "it does not speak HTTP (BadStatusLine)"


class Answering:
    """Answers every connection with something that is no HTTP."""

    def __init__(self, server):
        self._server = server
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")

    def stop(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()


@pytest.mark.parametrize(
    "url", [f"file:///{WORD}", f"http://h/{WORD} x", f"//h/{WORD}", WORD, f"http://[{WORD}"]
)
def test_what_is_no_url_of_http_is_refused_and_not_repeated(trial, url):
    watched_at(trial, url)
    outcome = trial.run()
    assert outcome.code == ExitCode.UNAVAILABLE
    assert "is not a URL of http or https" in outcome.sentence
    assert WORD not in outcome.sentence


def test_a_url_that_is_gone_by_then_changes_nothing(trial, log):
    def backup(_trees):
        (trial.machine.root / "ping.url").unlink()
        return 0

    trial.machine.programs["backup-program"] = backup
    assert trial.run().ok
    assert "cannot be read" in errors(log)[0]


def test_a_file_that_others_may_read_is_refused(trial):
    (trial.machine.root / "ping.url").chmod(0o644)
    assert trial.run().code == ExitCode.PERMISSION


def test_a_busy_job_is_told(trial, ear):
    trial.pre(session="other")
    with pytest.raises(UnavailableError):
        trial.run()
    assert ear.paths()[-1] == f"/{WORD}/fail"
