"""What people are told, once.

At risk: three hundred messages about one outage, none about the next, and one that never ends.
"""

from collections.abc import Sequence

import pytest

from etl_assets.core.alerts import (
    Message,
    Problem,
    Told,
    slack_document,
    webhook_document,
    without_secrets,
)

FAILED = Problem("failed/SP17", "SP17 failed", "sales: The source is gone. Find it.")
LATE = Problem("late/sales", "Keys are late in sales")


def said(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [(message.event, message.title) for message in messages]


def told(*problems: Problem) -> Told:
    new = Told().messages("web", problems, [])
    return Told.load(Told().after("web", new, problems).dump())


def test_a_new_problem_is_told_once() -> None:
    messages = Told().messages("web", [FAILED, LATE], [])
    assert said(messages) == [("problem", "SP17 failed"), ("problem", "Keys are late in sales")]
    assert messages[0].body == "SP17 failed\n\nsales: The source is gone. Find it.\n"
    assert told(FAILED, LATE).messages("web", [FAILED, LATE], []) == []


def test_a_problem_that_changes_its_words_is_the_same_problem() -> None:
    later = Problem(FAILED.id, FAILED.title, "sales: It is locked.")
    assert told(FAILED).messages("web", [later], []) == []


def test_what_is_over_is_told_once() -> None:
    before = told(FAILED, LATE)
    messages = before.messages("web", [LATE], [])
    assert said(messages) == [("over", "Over: SP17 failed")]
    after = before.after("web", messages, [LATE])
    assert after.messages("web", [LATE], []) == []
    assert said(after.messages("web", [LATE, FAILED], [])) == [("problem", "SP17 failed")]


def test_what_nothing_is_known_of_now_is_not_over() -> None:
    assert told(FAILED, LATE).messages("web", [], ["failed/", "late/"]) == []
    assert said(told(FAILED, LATE).messages("web", [], ["late/"])) == [
        ("over", "Over: SP17 failed")
    ]


def test_each_channel_has_a_memory_of_its_own() -> None:
    assert said(told(FAILED).messages("mail", [FAILED], [])) == [("problem", "SP17 failed")]


def test_what_was_not_sent_is_not_remembered() -> None:
    after = Told().after("web", [], [FAILED])
    assert said(after.messages("web", [FAILED], [])) == [("problem", "SP17 failed")]


def test_many_at_once_are_one_message_and_each_is_remembered() -> None:
    many = [Problem(f"failed/K{n:03}", f"K{n:03} failed") for n in range(300)]
    (message,) = Told().messages("web", many, [])
    assert message.title == "300 problems at once"
    assert message.text.splitlines() == [
        *(f"- K{n:03} failed" for n in range(6)),
        "- and 294 more; `etl-assets health` lists what is failed or late",
    ]
    assert told(*many).messages("web", many, []) == []
    (over,) = told(*many).messages("web", [], [])
    assert over.title == "300 problems are over"
    assert len(Told().messages("web", many[:10], [])) == 10


def test_a_subject_is_one_line_and_not_too_long() -> None:
    assert Message("problem", "a\nSubject: b").subject == "a Subject: b"
    assert len(Message("problem", "x" * 500).subject) == 120


def test_no_secret_stands_in_a_message() -> None:
    problem = Problem("x", "pw hunter2", "hunter2hunter2 at https://h/hunter2")
    cleaned = without_secrets(problem, ["hunter2", "https://h/hunter2", ""])
    assert cleaned == Problem("x", "pw ***", "****** at ***")


@pytest.mark.parametrize("event", ["problem", "over", "test"])
def test_slack_is_sent_what_it_reads_as_it_is_meant(event: str) -> None:
    message = Message(event, "a <b> & c", "d > e")  # type: ignore[arg-type]
    (text,) = slack_document(message).values()
    assert str(text).endswith(": *a &lt;b&gt; &amp; c*\nd &gt; e")


def test_a_webhook_is_sent_what_a_program_reads() -> None:
    (message,) = Told().messages("web", [FAILED], [])
    assert webhook_document(message) == {
        "platform": "etl_assets",
        "event": "problem",
        "title": "SP17 failed",
        "text": "sales: The source is gone. Find it.",
        "ids": ["failed/SP17"],
    }
