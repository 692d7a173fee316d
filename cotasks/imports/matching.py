"""Which record an answer belongs to.

The program's id of the question decides where it is a record's id, or the end of one (`q7` of `mine/test/q7`)
that no other record has. Else the question's text does, then the text of a question that stands in the prompt; of
several records with one text, the one whose video the answer names, or whose options stand in the prompt. By its text
an answer that names a video of the data set answers none of another video. What fits several records, or none, is told
as such: nothing is guessed, and nothing goes by order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cotasks.imports.forms import Said
from cotasks.records.dataset import Records

UNKNOWN = "answer to another question"
SEVERAL = "answer that fits several questions"
_LABEL = re.compile(r"^\W*(?:question|query|q)\s*\d*\s*[:.)\uff1a]\s*", re.IGNORECASE)


@dataclass(frozen=True)
class _Asked:
    id: str
    video: str
    choices: tuple[str, ...]


@dataclass
class Index:
    """The records by all that an answer may call them."""

    ids: set[str] = field(default_factory=set)
    by_end: dict[str, list[str]] = field(default_factory=dict)
    """End of an id -> the ids that have it."""
    by_text: dict[str, list[_Asked]] = field(default_factory=dict)
    """Question, plainly written -> the records that ask it."""
    videos: set[str] = field(default_factory=set)
    """Their videos, plainly written."""

    @classmethod
    def of(cls, records: Records) -> Index:
        """The index of records."""
        index = cls()
        for row in records.rows.select_columns(["id", "video_id", "question", "choices"]):
            index.add(row["id"], row["video_id"], row["question"], row["choices"])
        return index

    def add(self, record_id: str, video: str, question: str, choices: Sequence[str]) -> None:
        """A record."""
        self.ids.add(record_id)
        parts = record_id.split("/")
        ends = {sign.join(parts[-count:]) for count in range(1, len(parts)) for sign in ("/", "_")}
        for end in ends:
            self.by_end.setdefault(end, []).append(record_id)
        asked = _Asked(record_id, plain(PurePosixPath(video).stem), tuple(map(plain, choices)))
        self.videos.add(asked.video)
        self.by_text.setdefault(plain(question), []).append(asked)

    def find(self, said: Said) -> tuple[str | None, str]:
        """(the id of the record that is answered, ""), or (None, why there is none)."""
        for name in said.ids:
            if name in self.ids:
                return name, ""
        for name in said.ids:
            if not name.isdecimal() and len(found := self.by_end.get(name, [])) == 1:
                return found[0], ""
        candidates = self._asked(said)
        if (video := _video(said)) in self.videos:
            candidates = [one for one in candidates if video in (one.video, one.video.split(" ")[-1])]
        if len(candidates) > 1:
            candidates = self._told_apart(candidates, said)
        if len(candidates) == 1:
            return candidates[0].id, ""
        if not candidates:
            by_number = [ids for name in said.ids if len(ids := self.by_end.get(name, [])) == 1]
            if by_number and not said.question and not said.prompt:
                return by_number[0][0], ""
        return None, SEVERAL if candidates else UNKNOWN

    def _asked(self, said: Said) -> list[_Asked]:
        """The records whose question the answer names, or whose prompt holds it."""
        if said.question and (found := self.by_text.get(plain(said.question))):
            return found
        text = said.prompt or said.question
        lines = [found for line in text.splitlines() if (found := self.by_text.get(plain(_LABEL.sub("", line))))]
        if lines:
            return lines[0] if len({id(found) for found in lines}) == 1 else [one for found in lines for one in found]
        whole = f" {plain(text)} " if text else ""
        held = [question for question in self.by_text if question and f" {question} " in whole]
        longest = [q for q in held if not any(q != other and q in other for other in held)]
        return [one for question in longest for one in self.by_text[question]]

    def _told_apart(self, candidates: list[_Asked], said: Said) -> list[_Asked]:
        """Those whose video is named, and of these those whose options stand in the prompt, where that leaves any."""
        video = _video(said)
        named = [one for one in candidates if video and video in (one.video, one.video.split(" ")[-1])]
        candidates = named or candidates
        whole = plain(said.prompt)
        offered = [one for one in candidates if one.choices and all(choice in whole for choice in one.choices)]
        return offered if len(candidates) > 1 and offered else candidates


def _video(said: Said) -> str:
    """The video that an answer names, plainly written; empty where it names none."""
    return plain(PurePosixPath(said.video.replace("\\", "/")).stem) if said.video else ""


def plain(text: str) -> str:
    """Small letters and digits, words parted by one blank."""
    return " ".join(re.findall(r"\w+", text.lower()))
