"""Records -> chat examples to learn from: each step, the chain of all steps, and the final answer.

A task is one of

    frame_localization, entity_tracking, spatial_relations, temporal_relations
                   one step: the question and the true answers of the steps before it -> the step; with
                   `:corrupt=P,seed=N,kind=K` those before it are corrupted, and the step is the true one
    chain          Q1 A1 Q2 A2 Q3 A3 Q4 A4 Q A, in turns; with `think`, in one turn, see `cotasks.training.thoughts`
    a condition    the prompt of `cotasks generate` under that condition (`baseline`, `cotasks`, `cotasks-12:frames=16`,
                   see `cotasks.prompts.parse_condition`) -> the answer; `predicted` where predictions are given

Step 1 is left out, as a task and in a chain of turns, where A1's spans are `whole`: there is nothing to learn.

    rows.map(cotasks.instructions, batched=True, remove_columns=rows.column_names, features=INSTRUCTION_FEATURES)

Boxes, times and frames are written for one model family and, where boxes are pixels, for frames of `width` x `height`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Features, List, Value

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES, Family, Limits, frame_size
from cotasks.models.tensors import clip_range
from cotasks.prompts.condition import LETTERS, Condition, parse_condition
from cotasks.prompts.prompt import Prompt, build_prompt, question_text, step_context, step_request
from cotasks.prompts.size import source_size
from cotasks.prompts.view import Predictions, view
from cotasks.records.boxes import Size
from cotasks.records.check import read_rows
from cotasks.records.schema import Frame, Record
from cotasks.records.videos import Videos, videos_of
from cotasks.steps.context import NOTHING, StepContext
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.steps.table import STEP_NUMBERS, STEPS, step_text
from cotasks.training.thoughts import ThoughtForm, thought_form, thought_request, thought_text
from cotasks.video.check import Expected
from cotasks.words.plain import plain

CHAIN = "chain"
TASKS = (*STEP_NUMBERS, CHAIN, "baseline", "cotasks")
"""Tasks by default: an answerer with and without context, and a step predictor."""

INSTRUCTION_FEATURES: Features = Features(
    {
        "id": Value("string"),  # of the record
        "task": Value("string"),
        "family": Value("string"),  # of models that the text is written for
        # user and assistant by turns; content is {"type": "video", "text": null} or {"type": "text", "text": ...}
        "messages": List(
            {"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})}
        ),
        # what a token budget may leave out, first to go first: lines [begin, end) of the text of a turn
        "cuts": List({"turn": Value("int32"), "begin": Value("int32"), "end": Value("int32")}),
        "video_path": Value("string"),  # relative to the video folder
        "frames": List(Value("int32")),  # frame numbers in the file; empty where no video is shown
        "frame_names": List(Value("string")),  # what the text calls each of them: "1.2s" or "frame 3"
        "width": Value("int32"),  # of the frames as shown, in pixels; boxes in pixels are written in it
        "height": Value("int32"),
        "source_width": Value("int32"),  # that the record's boxes refer to; null where neither it nor a file says
        "source_height": Value("int32"),
        "fps": Value("float64"),  # of the file
        "frame_count": Value("int32"),  # of the file; null where the record does not say
        "clip_begin": Value("int32"),  # number of the clip's first frame in the file
        "clip_frames": Value("int32"),  # how many frames the clip has in the file, shown or not
    }
)
"""The columns of `instructions`; hand them to `dataset.map` as `features`."""

Row = dict[str, Any]
Cut = tuple[int, int, int]
"""(turn, begin, end): lines of the text of a turn."""


def instructions(
    record: Record | Mapping[str, Any],
    tasks: Sequence[str] = TASKS,
    *,
    family: str = "qwen2_5_vl",
    limits: Limits | None = None,
    num_frames: int | None = None,
    boxes_per_entity: int = BOXES_PER_ENTITY,
    videos: str | Path | None = None,
    video_check: str = "fail",
    count_tokens: Callable[[str], int] | None = None,
    think: str | None = None,
    predictions: Predictions | None = None,
) -> dict[str, list[Any]]:
    """Chat examples of a record, one a task, as columns of `INSTRUCTION_FEATURES`.

    Args:
        record: a record, its row, or a batch of rows as `dataset.map(..., batched=True)` hands over.
        tasks: see above. Step 1 of a record whose spans are `whole` gives no example.
        family: a name from `cotasks.models.families.FAMILIES`.
        limits: of the model's own processor (`cotasks.models.families.limits_of`); by default the family's.
        num_frames: frames shown and spoken of where a condition does not say; by default the record's grid.
        boxes_per_entity: at most so many boxes an entity in step 2; a condition has its own.
        videos: folder of the videos; their headers are read where a record lacks its frame size.
        video_check: what is done about a video that is read and is not the annotated one, of
            `cotasks.video.check.MODES`.
        count_tokens: the model's token count of a text; needed where a condition has a token budget.
        think: a form of `cotasks.training.thoughts.THOUGHTS`: the chain is then one question and one answer, the steps
            within `<think>`, the answer within `<answer>`. The other tasks are as they are.
        predictions: where a task such as `predicted` gets its steps from.

    Raises InputError for an unknown task, family or form, a form without the chain among the tasks, more frames asked
    for than a record's grid has, a record of unknown frame size, and one of which a step was not predicted.
    """
    if family not in FAMILIES:
        raise InputError(f"family {family!r}; expected one of {', '.join(FAMILIES)}", "unknown model family")
    parsed = [(task, parse_task(task, num_frames, predictions is not None)) for task in tasks]
    shown = videos_of(videos, video_check)
    form = None if think is None else thought_form(think)
    if form is not None and CHAIN not in tasks:
        raise InputError(f"think {form.name!r} with tasks {', '.join(tasks)}; expected {CHAIN}, which it is a form of")
    examples: list[Row] = []
    for one in _records(record):
        for task, condition in parsed:
            told = condition or _step_condition(task, num_frames, boxes_per_entity)
            seen = _view(one, told, FAMILIES[family], limits, shown, predictions)
            if condition is not None:
                examples.append(_answer_example(seen, one, count_tokens))
            elif task == CHAIN:
                examples.append(_chain_example(seen) if form is None else _thought_example(seen, form))
            elif task != STEPS[1].field or _has_step_1(one):
                true = _step_condition(task.partition(":")[0], num_frames, boxes_per_entity)
                truth = seen if told.origin == "oracle" else _view(one, true, FAMILIES[family], limits, shown, None)
                examples.append(_step_example(seen, one, truth))
    return {name: [example[name] for example in examples] for name in INSTRUCTION_FEATURES}


def parse_task(task: str, num_frames: int | None = None, predicted: bool = False) -> Condition | None:
    """The condition that a task names, None for a step or the chain.

    Args:
        num_frames: frames shown where it does not say.
        predicted: whether predicted steps are at hand.

    Raises InputError that lists what is known.
    """
    if task == CHAIN or task in STEP_NUMBERS:
        return None
    if task.partition(":")[0] in STEP_NUMBERS:
        _step_condition(task, num_frames, BOXES_PER_ENTITY)
        return None
    try:
        condition = parse_condition(task)
    except InputError as error:
        known = ", ".join((*STEP_NUMBERS, CHAIN))
        raise InputError(f"unknown task {task!r}; expected one of {known}, or a condition: {error}") from None
    if condition.origin == "predicted" and not predicted:
        raise InputError(f"task {task!r}: predicted steps; expected true or corrupted ones to learn from")
    return dataclasses.replace(condition, num_frames=condition.num_frames or num_frames)


def _step_condition(task: str, num_frames: int | None, boxes_per_entity: int) -> Condition:
    """What the prompt of a step contains: the steps before it. The chain is told nothing, and asks for them all.

    Raises InputError where the steps before it are to be anything but corrupted, and where there are none.
    """
    name, _, options = task.partition(":")
    asks = STEP_NUMBERS.get(name, 1)
    steps = tuple(range(1, asks))
    plain = Condition(task, steps, num_frames=num_frames, boxes_per_entity=boxes_per_entity, asks=asks)
    if not options:
        return plain
    noise = parse_condition(f"cotasks:{options}")
    if noise != Condition(
        noise.name,
        noise.steps,
        "corrupted",
        corruption=noise.corruption,
        corruption_seed=noise.corruption_seed,
        corruption_kind=noise.corruption_kind,
    ):
        raise InputError(f"task {task!r}: options of the steps before it; expected corrupt, seed and kind only")
    return dataclasses.replace(
        plain,
        origin="corrupted",
        corruption=noise.corruption,
        corruption_seed=noise.corruption_seed,
        corruption_kind=noise.corruption_kind,
    )


def expected_video(row: Mapping[str, Any]) -> Expected:
    """What an example says of its video."""
    size = (row["source_width"], row["source_height"])
    return Expected(row["fps"], tuple(row["frames"]), row.get("frame_count"), size if all(size) else None)


def examples_of(columns: Mapping[str, Sequence[Any]]) -> Iterator[Row]:
    """Columns, such as `instructions` gives, as one dict an example."""
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def shorten_messages(
    messages: Sequence[Mapping[str, Any]], cuts: Sequence[Mapping[str, int]], count: int
) -> list[dict[str, Any]]:
    """The messages without the lines of the first `count` cuts; they themselves are left as they are.

    An answer of which nothing is left goes, and with it the question before it.
    """
    gone: dict[int, set[int]] = {}
    for cut in cuts[:count]:
        gone.setdefault(cut["turn"], set()).update(range(cut["begin"], cut["end"]))
    kept: list[dict[str, Any]] = []
    for turn, message in enumerate(messages):
        if turn not in gone:
            kept.append(dict(message))
            continue
        lines = message["content"][-1]["text"].split("\n")
        left = [line for number, line in enumerate(lines) if number not in gone[turn]]
        if left:
            text = {"type": "text", "text": "\n".join(left)}
            kept.append({**message, "content": [*message["content"][:-1], text]})
        else:
            kept.pop()
    return kept


def _records(record: Record | Mapping[str, Any]) -> list[Record]:
    if isinstance(record, Record):
        return [record]
    rows = [record] if isinstance(record["id"], str) else [*examples_of(record)]
    return read_rows(rows, "records to learn from")


@dataclasses.dataclass(frozen=True)
class _View:
    """A record on the frames of one task, and how the family writes it."""

    record: Record
    condition: Condition  # named as the task; says which frames and boxes
    family: Family
    size: Size  # (width, height) of the frames as shown
    source_size: Size | None
    shown: tuple[Frame, ...]
    context: StepContext
    predictions: Predictions | None

    def step(self, step: int) -> str:
        return step_text(self.record, step, self.context, self.condition.boxes_per_entity)

    def prompt(self, record: Record, count_tokens: Callable[[str], int] | None = None) -> Prompt:
        """The prompt for the record as it was built."""
        sizes = self.size, self.source_size or (1, 1)
        return build_prompt(record, self.condition, self.family, *sizes, count_tokens, self.predictions)

    def example(self, messages: list[dict[str, Any]], cuts: list[Cut]) -> Row:
        frames = [frame.index for frame in self.shown]
        begin, count = clip_range(self.record, frames)
        of_shown = dataclasses.replace(self.context, frames=self.shown, shown=())
        return {
            "id": self.record.id,
            "task": self.condition.name,
            "family": self.family.name,
            "messages": messages,
            "cuts": [{"turn": turn, "begin": first, "end": end} for turn, first, end in cuts],
            "video_path": self.record.video_path,
            "frames": frames if self.condition.video else [],
            "frame_names": [*map(of_shown.frame_text, frames)] if self.condition.video else [],
            "width": self.size[0],
            "height": self.size[1],
            "source_width": self.source_size and self.source_size[0],
            "source_height": self.source_size and self.source_size[1],
            "fps": self.record.fps,
            "frame_count": self.record.frame_count,
            "clip_begin": begin,
            "clip_frames": count,
        }


def _view(
    record: Record,
    condition: Condition,
    family: Family,
    limits: Limits | None,
    videos: Videos | None,
    predictions: Predictions | None,
) -> _View:
    # without frames and boxes nothing depends on the size
    needed = condition.video or condition.steps or condition.asks
    source = source_size(record, videos) if needed else None
    told = view(record, condition, predictions)
    size = frame_size(family, *(source or (1, 1)), num_frames=len(told.shown), limits=limits)
    context = step_context(told, family, size, source or (1, 1))
    return _View(told.record, condition, family, size, source, told.shown, context, predictions)


def answer_text(record: Record) -> str:
    """The reference answer as a prompt asks for it: the letter of the right option, or the answer itself."""
    if not record.choices:
        return record.answer
    if record.answer_index < 0:
        raise InputError(f"{record.id}: answer_index is {record.answer_index}; expected the right one of its choices")
    return LETTERS[record.answer_index]


def _has_step_1(record: Record) -> bool:
    return record.frame_localization.span_origin != "whole"


def _turn(role: str, text: str, video: bool = False) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "video", "text": None}] if video else []
    return {"role": role, "content": [*content, {"type": "text", "text": plain(text)}]}


def _answer_example(seen: _View, record: Record, count_tokens: Callable[[str], int] | None) -> Row:
    condition = seen.condition
    prompt = seen.prompt(record, count_tokens)
    text = prompt.messages[0]["content"][-1]["text"]
    cuts = _context_cuts({step: seen.step(step) for step in condition.steps}, prompt.cut_items)
    return seen.example([_turn("user", text, condition.video), _turn("assistant", answer_text(record))], cuts)


def _step_example(seen: _View, record: Record, truth: _View) -> Row:
    """A step to be learned as `truth` has it, told what `seen` tells."""
    step = seen.condition.asks
    assert step is not None
    text = seen.prompt(record).messages[0]["content"][-1]["text"]
    answer = truth.step(step)
    # what is given goes before what is to be learned
    cuts = _context_cuts({before: seen.step(before) for before in seen.condition.steps})
    if step > 1:
        cuts += [(1, line, line + 1) for line in range(_items(answer) - 1, 0, -1)]
    return seen.example([_turn("user", text, video=True), _turn("assistant", answer)], cuts)


def _chain_example(seen: _View) -> Row:
    messages: list[dict[str, Any]] = []
    cuts: list[Cut] = []
    for step in STEPS:
        if step == 1 and not _has_step_1(seen.record):
            continue
        messages.append(
            _turn(
                "user",
                step_request(seen.record, seen.condition, step, seen.context, opens=not messages),
                video=not messages,
            )
        )
        answer = seen.step(step)
        messages.append(_turn("assistant", answer))
        if step > 1:
            turn = len(messages) - 1
            spared = int(turn == 1)  # the first question shows the video, so its answer stays, by a line
            cuts = [(turn, line, line + 1) for line in range(_items(answer) - 1, spared - 1, -1)] + cuts
    messages += [_turn("user", question_text(seen.record)), _turn("assistant", answer_text(seen.record))]
    return seen.example(messages, cuts)


def _thought_example(seen: _View, form: ThoughtForm) -> Row:
    """The chain in one turn. Its tags are no text of the data, so they stand as they are."""
    most = seen.condition.boxes_per_entity
    request = thought_request(seen.record, form, seen.context, most)
    said = thought_text(seen.record, form, seen.context, answer_text(seen.record), most)
    user = {"role": "user", "content": [{"type": "video", "text": None}, {"type": "text", "text": request}]}
    return seen.example([user, {"role": "assistant", "content": [{"type": "text", "text": said}]}], [])


def _items(text: str) -> int:
    """How many lines of a step's text are items."""
    return 0 if text == NOTHING else text.count("\n") + 1


def _context_cuts(texts: Mapping[int, str], already_cut: int = 0) -> list[Cut]:
    """What may go of a context block at the head of turn 0: items of steps 2 to 4, the last one first.

    The block is a line of preamble, for each step a title and its lines, and an empty line. The first item of a step
    takes its title along; the last of all takes the whole block, where neither step 1 nor a step without items stays.

    Args:
        texts: step -> its text, in order.
        already_cut: lines that are not in the block any more, from its end.
    """
    left = sum(text.count("\n") + 1 for text in texts.values()) - already_cut
    cuts: list[Cut] = []
    line, stays = 1, False
    for step, text in texts.items():
        lines = min(text.count("\n") + 1, left)
        left -= lines
        if lines == 0:
            break
        if step == 1 or not _items(text):
            stays = True
        else:
            first = line + 1
            cuts = [(0, n, n + 1) for n in range(first + lines - 1, first, -1)] + [(0, line, first + 1)] + cuts
        line += 1 + lines
    if cuts and not stays:
        cuts[-1] = (0, 0, line + 1)
    return cuts
