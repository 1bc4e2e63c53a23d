"""`guest probe`: what is asked, what becomes of silence and nonsense, what a transcript does not say."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_host import TEMPLATE, make_host, recorded
from hypothesis import given
from hypothesis import strategies as st

from harness.deadline import Deadline
from harness.errors import (
    AnswerTimedOut,
    ChannelBroken,
    ConfigurationError,
    GuestUnreachable,
    OperationFailed,
)
from harness.guest.exchanges import ExchangeLog
from harness.guest.guest import Login
from harness.guest.probe import QUESTIONS, Transcript, domain_channel, probe
from harness.guest.redaction import Hidden, hidden_names
from harness.lab import Redactor, Secret
from harness.operations import OPERATIONS, Effect, Operation

_CLIXML = (
    '<Objs><Obj><Props><S N="RegisteredUser">Erika Muster</S><S N="CSName">BUILD-7</S></Props></Obj></Objs>'
)


def packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode())).decode()


def answered(result: Any, **more: Any) -> dict[str, Any]:
    raw = [
        {
            "command": "Get-CimInstance",
            "parameters": {"ClassName": "X"},
            "packed": packed(_CLIXML),
            "error": None,
        }
    ]
    return {"ok": True, "result": result, "error": None, "raw": raw} | more


class Channel:
    """``GuestChannel`` that answers the probe's operation by a function of the operation asked for."""

    log = ExchangeLog()

    def __init__(self, answer: Callable[[str, dict[str, Any]], Any]) -> None:
        self._answer = answer
        self.asked: list[str] = []

    def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
        assert operation.function == "Invoke-PvProbe"
        assert operation.repeatable
        assert set(params) == set(operation.parameters) == {"operation", "request"}
        self.asked.append(params["operation"])
        return self._answer(params["operation"], json.loads(params["request"]))

    def close(self) -> None:
        """Nothing to do."""


def taken(channel: Any, redact: Callable[[str], str] = str, user: str = "tester") -> Transcript:
    return probe(channel, user=user, redact=redact, report=lambda _: None)


def test_every_operation_that_only_reads_is_asked_and_none_that_changes() -> None:
    reading = {name for name, operation in OPERATIONS.items() if operation.effect is Effect.READS}
    assert {question.op for question in QUESTIONS} == reading
    for question in QUESTIONS:
        assert set(question.params) == set(OPERATIONS[question.op].parameters), question


def test_a_transcript_is_ascii_json_with_the_raw_objects_beside_the_result(tmp_path: Path) -> None:
    channel = Channel(lambda op, params: answered({"op": op, "params": params, "text": "Müller"}))
    path = tmp_path / "probe.json"
    taken(channel).write(path)
    read = json.loads(path.read_bytes().decode("ascii"))
    assert read["schema"] == 1
    assert [one["op"] for one in read["operations"]] == [question.op for question in QUESTIONS]
    first = read["operations"][0]
    assert first["result"]["text"] == "Müller"
    assert first["raw"][0]["parameters"] == {"ClassName": "X"}
    assert first["raw"][0]["objects"].startswith("<Objs>")


def test_a_transcript_that_cannot_be_written_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no/such/folder"):
        taken(Channel(lambda _op, _params: answered(1))).write(tmp_path / "no" / "such" / "folder" / "x.json")


def test_an_operation_that_says_no_is_an_answer_too() -> None:
    error = {"kind": "not-found", "detail": "there is no CD"}
    channel = Channel(lambda _op, _params: answered(None, ok=False, error=error))
    one = taken(channel).operations[0]
    assert (one.ok, one.error) == (False, error)


def test_one_lost_answer_leaves_a_hole_and_not_the_end() -> None:
    def answer(op: str, _params: dict[str, Any]) -> Any:
        if op == "driver_packages":
            raise AnswerTimedOut("no answer to probe in 180 s")
        return answered(op)

    operations = {one.op: one for one in taken(Channel(answer)).operations}
    assert operations["driver_packages"].error == {
        "kind": "unanswered",
        "detail": "no answer to probe in 180 s",
    }
    assert operations["certificates"].ok


def test_a_guest_that_falls_silent_is_not_asked_for_hours() -> None:
    def answer(op: str, _params: dict[str, Any]) -> Any:
        if channel.asked.count("boot_id"):
            raise GuestUnreachable("gone")
        return answered(op)

    channel = Channel(answer)
    transcript = taken(channel)
    assert channel.asked == ["system_facts", "boot_id", "security_facts"]
    assert [one.ok for one in transcript.operations[:2]] == [True, False]
    assert transcript.operations[-1].error == {
        "kind": "unanswered",
        "detail": "not asked: the guest fell silent",
    }


def test_a_guest_that_never_answered_is_an_error_and_no_transcript() -> None:
    def answer(_op: str, _params: dict[str, Any]) -> Any:
        raise GuestUnreachable("no WinRM")

    with pytest.raises(GuestUnreachable):
        taken(Channel(answer))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"ok": True},
        answered(1, raw=[{"command": "x"}]),
        answered(1, raw=[{"packed": "!"}]),
        answered(1, raw=None),
        5,
    ],
)
def test_an_answer_that_makes_no_sense_is_a_broken_channel(wrong: Any) -> None:
    with pytest.raises(ChannelBroken, match="malformed"):
        taken(Channel(lambda _op, _params: wrong))


def test_a_guest_without_powershell_gives_its_answers_alone() -> None:
    class Plain(Channel):
        def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
            if operation.name not in OPERATIONS:
                raise OperationFailed("probe", "bad-request", "there is no operation 'probe'")
            if operation.name == "disks":
                raise OperationFailed("disks", "command-failed", "no")
            return {"asked": params}

    operations = {one.op: one for one in taken(Plain(lambda *_: None)).operations}
    assert operations["services"].ok
    assert operations["services"].raw == ()
    assert operations["disks"].error == {"kind": "command-failed", "detail": "no"}


# -- taken out


def test_names_secrets_and_ids_are_taken_out_of_answers_and_raw_objects_alike() -> None:
    redactor = Redactor()
    redactor.add(Secret("geheim"))
    facts = {
        "computer_name": "BUILD-7",
        "text": "geheim tester BUILD-7 build-7.local S-1-5-21-111-222-333-500 00330-80000-00000-AA123",
        "many": ["by Erika Muster", 5, None, True],
    }
    transcript = taken(Channel(lambda _op, _params: answered(facts)), redactor.clean)
    shown = json.dumps([vars(one) for one in transcript.operations], default=vars)
    for secret in ("geheim", "BUILD-7", "build-7", "Erika", "111-222", "AA123", "tester"):
        assert secret not in shown, secret
    one = transcript.operations[0]
    assert one.result["computer_name"] == "COMPUTER"
    assert one.result["many"] == ["by PERSON", 5, None, True]
    assert '<S N="CSName">COMPUTER</S>' in one.raw[0].objects
    assert "S-1-5-21-0-0-0-500" in one.result["text"]
    assert transcript.redacted


@pytest.mark.parametrize(
    ("computer", "user", "text"),
    [
        ("PC", "x", "a PCI device of the PC"),
        ("WIN", "Administrator", "WINDOWS by Administrator"),
        ("", "", "nothing to hide"),
    ],
)
def test_short_and_common_words_leave_no_holes(computer: str, user: str, text: str) -> None:
    assert Hidden(hidden_names(computer, user, []), str).clean(text) == text


def test_both_parts_of_a_domain_account_are_names() -> None:
    names = hidden_names(
        "PVGUEST", "CORP\\erika", ['<S N="UserName">CORP\\mustermann</S><S N="Domain">WORKGROUP</S>']
    )
    assert Hidden(names, str).clean("CORP\\mustermann, erika on PVGUEST in WORKGROUP") == (
        "USER\\USER, USER on COMPUTER in WORKGROUP"
    )


@given(st.text(), st.text(max_size=20), st.text(max_size=20))
def test_no_name_makes_the_redaction_fail_and_a_second_one_changes_nothing(
    text: str, computer: str, user: str
) -> None:
    hidden = Hidden(hidden_names(computer, user, [text]), str)
    once = hidden.clean({"a": [text, computer]})
    assert isinstance(once["a"][0], str)
    if len(computer) > 2 and computer.isalnum() and computer.isascii() and not computer.isdigit():
        assert Hidden(hidden_names(computer, "", []), str).clean(f"x {computer} y") in {
            "x COMPUTER y",
            f"x {computer} y",  # a common word
        }


# -- the way there


def test_a_domain_without_interface_or_that_is_not_there_is_named() -> None:
    login = Login("tester", "geheim")
    nothing = recorded("xl-network-list")[1].splitlines()[0] + "\n"
    host = make_host({"xl list": recorded("xl-list"), "xl network-list win1": nothing})
    with pytest.raises(ConfigurationError, match="win1 has no network interface"):
        domain_channel(host, "win1", TEMPLATE, login)
    with pytest.raises(ConfigurationError, match="no domain web") as caught:
        domain_channel(host, "web", TEMPLATE, login)
    assert caught.value.mend == "running there: win1"
