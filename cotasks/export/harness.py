"""Our prompts and scores, record by record, for evaluation harnesses that ask the model themselves.

`examples/harness/` has tasks for lmms-eval and Inspect made of these. A prompt is, to the byte, what `cotasks generate
--backend server --media images` sends: the frames of the record's grid as pictures, in a size that the processor of the
family leaves alone, the name of each before it, then context and question. So a harness shows the annotated frames,
whatever it would have chosen itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cotasks.errors import InputError, shorten
from cotasks.generate.server.model import server_limits
from cotasks.generate.server.request import frame_labels
from cotasks.judge.rules import judge_answer
from cotasks.judge.verdicts import Verdict
from cotasks.look.marks import draw_marks
from cotasks.models.families import FAMILIES, frame_size
from cotasks.prompts.condition import Condition, parse_condition
from cotasks.prompts.prompt import build_prompt
from cotasks.prompts.size import shown_size, source_size
from cotasks.prompts.view import shown_frames
from cotasks.records.schema import Record
from cotasks.records.videos import Videos, videos_of
from cotasks.video.packets import Image


@dataclass(frozen=True)
class Harness:
    """How records are asked."""

    condition: Condition
    family: str
    """A name from `cotasks.models.families.FAMILIES`: it says how boxes and frames are written."""
    videos: Videos | None = None
    max_pixels: int | None = None
    """Greatest width x height of a frame; by default the family's."""

    def parts(self, record: Record) -> list[str | Image]:
        """The user's turn: texts, and pictures (height, width, 3), RGB, in order.

        Raises InputError where the condition shows a video that is missing or not the annotated one, the frame size is
        needed and unknown, or the condition needs what no harness has: predicted steps, or a tokenizer.
        """
        family, condition = FAMILIES[self.family], self.condition
        if condition.video and self.videos is None:
            raise InputError(f"condition {condition.name} shows the video; expected the folder of the videos")
        source = shown_size(record, condition, self.videos)
        limits = server_limits(family, "images", None, self.max_pixels)
        size = frame_size(family, *source, num_frames=len(shown_frames(record, condition)), limits=limits)
        prompt = build_prompt(record, condition, family, size, source)
        parts: list[str | Image] = []
        if prompt.frames and self.videos is not None:
            from cotasks.video.reading import read_frames

            numbers = [frame.index for frame in prompt.frames]
            pixels = read_frames(self.videos.file(record), self.videos.look(record).readable(numbers), size)
            if prompt.marks:
                pixels = draw_marks(pixels, numbers, record.scene, prompt.marks, source_size(record, self.videos))
            for name, picture in zip(frame_labels(record, prompt.frames, family), pixels, strict=True):
                parts += [name, picture]
        (message,) = prompt.messages
        return [*parts, *(part["text"] for part in message["content"] if part["type"] == "text")]


def harness(
    condition: str,
    family: str,
    videos: str | Path | None = None,
    video_check: str = "fail",
    max_pixels: int | None = None,
) -> Harness:
    """See `Harness`; the condition is written as for `cotasks generate`.

    Raises InputError for an unknown condition or family, and for one of predicted steps.
    """
    parsed = parse_condition(condition)
    if family not in FAMILIES:
        raise InputError(f"family is {shorten(family)}; expected one of {', '.join(FAMILIES)}")
    if parsed.origin == "predicted":
        raise InputError(f"condition {condition} tells predicted steps; a harness has none, `cotasks generate` does")
    return Harness(parsed, family, videos_of(videos, video_check), max_pixels)


def score(record: Record, answer: str, judge: str = "exact") -> Verdict:
    """What a local judge, of `cotasks.judge.rules.RULES`, makes of an answer; 0 to 100, None where unscored."""
    question = {
        "question": record.question,
        "answer": record.answer,
        "additional_answers": list(record.additional_answers),
        "choices": list(record.choices),
        "answer_index": record.answer_index,
        "question_type": record.question_type,
    }
    return judge_answer(judge, answer, question)
