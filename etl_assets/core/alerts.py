"""What is told to people who do not look: one message per problem, and one when it is over."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

SEPARATE = 10
"""More at once are told in one message: whoever gets three hundred reads none."""

_NAMED = 6
_TITLE_CHARACTERS = 120
_HIDDEN = "***"
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class Problem:
    """Something that is wrong now.

    Attributes:
        id: The same as long as it is the same problem.
        title: What it is, in a line.
        text: What is known and what to do; empty when the title says all.
    """

    id: str
    title: str
    text: str = ""


@dataclass(frozen=True)
class Message:
    """One thing to send.

    Attributes:
        event: What it is about.
        title: In a line.
        text: The rest; may be empty.
        ids: The problems it tells of.
    """

    event: Literal["problem", "over", "test"]
    title: str
    text: str = ""
    ids: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The title as a subject: one line, no longer than a subject may be."""
        line = " ".join(self.title.split())
        return line if len(line) <= _TITLE_CHARACTERS else f"{line[: _TITLE_CHARACTERS - 1]}…"

    @property
    def body(self) -> str:
        """Title and text, as plain text."""
        return f"{self.title}\n\n{self.text}\n" if self.text else f"{self.title}\n"


TEST = Message(
    "test",
    "etl_assets: a test message",
    "`etl-assets alerts test` sent it. Problems will be told here, and when they are over.",
)


@dataclass(frozen=True)
class Told:
    """What each channel was told and was not told to be over, as the sensor remembers it.

    Attributes:
        channels: By a channel's name, the titles of its open problems by their ids.
    """

    channels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, text: str | None) -> "Told":
        """Return what a cursor says; nothing was told where there is none."""
        return cls(json.loads(text) if text else {})

    def dump(self) -> str:
        """Return the cursor."""
        return json.dumps(self.channels, sort_keys=True)

    def messages(
        self, channel: str, problems: Sequence[Problem], uncertain: Collection[str]
    ) -> list[Message]:
        """Return what a channel is still to be told.

        Args:
            channel: Its name.
            problems: All problems there are.
            uncertain: What ids begin with of which nothing is known now: those are not over.
        """
        told, there = self.channels.get(channel, {}), {problem.id for problem in problems}
        new = [problem for problem in problems if problem.id not in told]
        over = [
            Problem(id_, f"Over: {title}", "")
            for id_, title in told.items()
            if id_ not in there and not id_.startswith(tuple(uncertain))
        ]
        return [*_messages("problem", new), *_messages("over", over)]

    def after(self, channel: str, sent: Collection[Message], problems: Sequence[Problem]) -> "Told":
        """Return what is remembered once a channel took some messages."""
        titles = {problem.id: problem.title for problem in problems}
        told = dict(self.channels.get(channel, {}))
        for message in sent:
            for id_ in message.ids:
                if message.event == "problem":
                    told[id_] = titles[id_]
                else:
                    told.pop(id_, None)
        return Told({**self.channels, channel: told})


def _messages(event: Literal["problem", "over"], problems: Sequence[Problem]) -> list[Message]:
    if len(problems) <= SEPARATE:
        return [Message(event, p.title, p.text, (p.id,)) for p in problems]
    what = "problems at once" if event == "problem" else "problems are over"
    named = [f"- {problem.title}" for problem in problems[:_NAMED]]
    rest = (
        f"- and {len(problems) - _NAMED:,} more; `etl-assets health` lists what is failed or late"
    )
    title = f"{len(problems):,} {what}"
    return [Message(event, title, "\n".join([*named, rest]), tuple(p.id for p in problems))]


def without_secrets(problem: Problem, secrets: Collection[str]) -> Problem:
    """Return a problem in whose words no secret stands.

    They are not there in the first place; this is the second lock on the door.
    """
    title, text = problem.title, problem.text
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            title, text = title.replace(secret, _HIDDEN), text.replace(secret, _HIDDEN)
    return Problem(problem.id, title, text)


def webhook_document(message: Message) -> dict[str, object]:
    """Return what a webhook is sent, as JSON."""
    return {
        "platform": "etl_assets",
        "event": message.event,
        "title": message.title,
        "text": message.text,
        "ids": list(message.ids),
    }


def slack_document(message: Message) -> dict[str, object]:
    """Return what Slack's incoming webhooks take, with their three characters escaped."""
    mark = {"problem": ":red_circle:", "over": ":large_green_circle:", "test": ":bell:"}
    title, text = (
        part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for part in (message.title, message.text)
    )
    return {"text": f"{mark[message.event]} *{title}*" + (f"\n{text}" if text else "")}
