"""What becomes of a test when the pytest inside, or its whole machine, fails to report on it."""

from __future__ import annotations

from typing import cast

import pytest

from .channel import Message
from .commands import LabError
from .machine import Machine
from .relay import Relay

PASSED = {"outcome": "passed", "sections": []}


class FakeMachine:
    """Says what it is told to say, then nothing any more."""

    def __init__(self, *news: Message | type[Exception]) -> None:
        self._news = list(news)
        self.asked: list[Message] = []

    def boot(self) -> None: ...

    def cut_power(self) -> None: ...

    def send(self, message: Message) -> None:
        self.asked.append(message)

    def receive(self, _limit: float) -> Message:
        news = self._news.pop(0) if self._news else TimeoutError
        if isinstance(news, dict):
            return news
        raise news

    def console(self) -> str:
        return ""

    def console_end(self) -> str:
        return "last words"


def ran(test: str) -> list[Message]:
    return [{"started": test}, {"test": test, "report": PASSED}, {"ended": test}]


def relay(*machines: FakeMachine) -> Relay:
    new = iter(machines)
    return Relay(lambda: cast("Machine", next(new)), {"one": 5, "two": 5, "three": 5})


def test_reports_are_kept_until_asked_for() -> None:
    inside = relay(FakeMachine(*ran("two"), *ran("one")))
    assert inside.reports("one") == [PASSED]
    assert inside.reports("two") == [PASSED]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        pytest.param(TimeoutError, "Nothing was heard from the machine for 5 s", id="hang"),
        pytest.param(EOFError, "The machine went away", id="panic"),
        pytest.param({"status": -11}, "The pytest inside ended with status -11", id="crash"),
    ],
)
def test_after_a_loss_the_rest_runs_in_a_new_machine(end: Message | type[Exception], said: str) -> None:
    second = FakeMachine(*ran("three"))
    inside = relay(FakeMachine(*ran("one"), {"started": "two"}, end), second)
    assert inside.reports("one") == [PASSED]
    with pytest.raises(LabError, match=f"{said} while it ran two.\nlast words"):
        inside.reports("two")
    assert inside.reports("three") == [PASSED]
    assert "--wanted=three" in second.asked[0]["argv"]
    assert "--wanted=two" not in second.asked[0]["argv"]


def test_a_test_that_pytest_did_not_run_fails_and_says_why() -> None:
    inside = relay(FakeMachine({"problem": "ImportError: no such thing"}, *ran("one"), {"status": 1}))
    assert inside.reports("one") == [PASSED]
    with pytest.raises(
        LabError, match=r"status 1 and did not run this\.\nImportError: no such thing\nlast words"
    ):
        inside.reports("two")
    with pytest.raises(LabError, match="Not run, for the same reason as two"):
        inside.reports("three")
