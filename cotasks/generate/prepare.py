"""One video's records under the run's conditions -> prompts with their frames, ready for the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.generate.ahead import Waited
from cotasks.generate.sampling import Sampling
from cotasks.look.marks import draw_marks
from cotasks.models.families import Family, Limits, frame_size
from cotasks.models.tensors import Clip, clip_range
from cotasks.prompts.condition import Condition
from cotasks.prompts.prompt import Prompt, build_prompt
from cotasks.prompts.size import shown_size, source_size
from cotasks.prompts.view import Predictions, shown_frames
from cotasks.records.boxes import Size
from cotasks.records.dataset import Records
from cotasks.records.schema import Record
from cotasks.records.videos import Videos, videos_of
from cotasks.runs.folder import Key
from cotasks.runs.run import Row
from cotasks.video.packets import Image
from cotasks.video.reading import read_frames

Outcome = tuple[list[Row], list[Row]]
"""Lines for the generations file, and for the failures file."""


class Target(Protocol):
    """What prompts depend on, of the model that they are for: one in this process, or behind a server."""

    @property
    def family(self) -> Family:
        """Its conventions."""

    @property
    def limits(self) -> Limits:
        """The sizes of frames that its processor leaves alone."""

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """Gives the tokens of a piece of text; None where there is no tokenizer."""


@dataclass(frozen=True)
class Item:
    """One prompt, ready for the model."""

    key: Key
    video_id: str
    prompt: Prompt
    clip: Clip | None


@dataclass(kw_only=True)
class Asking:
    """What is asked, whatever the model."""

    records: Records
    conditions: Sequence[Condition]
    pending: Set[Key]
    """Keys to ask; others are passed over."""
    video_folder: Path | None
    """Needed where a condition shows the video."""
    sampling: Sampling
    workers: int
    """Threads that prepare videos."""
    predictions: Predictions | None = None
    """Needed where a condition's steps are predicted."""
    video_check: str = "fail"
    """What is done about a video that is not the annotated one, of `cotasks.video.check.MODES`."""
    waited: Waited = field(default_factory=Waited)
    """Time that the model spent waiting for videos: with a server, that a call could have gone out."""
    frames: dict[Key, int] = field(default_factory=dict)
    """How many frames the prompt of a key shows, as soon as it is ready."""
    answered_by: Callable[[], Mapping[str, int]] = dict
    """Gives {address: answers so far} of models behind servers."""
    stopped: str = ""
    """Why nothing more could be asked, in one line; empty while it can."""

    def prepare(self, positions: Sequence[int], model: Target) -> Iterator[Item | Row]:
        """`prepare_video` of the records at these positions, which are about one video."""
        for item in prepare_video(
            self.records.read(positions),
            self.conditions,
            self.pending,
            model,
            self.video_folder,
            self.sampling.num_samples,
            self.predictions,
            self.video_check,
        ):
            if isinstance(item, Item):
                self.frames[item.key] = len(item.clip.indices) if item.clip is not None else 0
            yield item


def failure_row(key: Key, video_id: str, error: BaseException) -> Row:
    """The line of the failures file: a reason without values, by which failures are counted, and the detail."""
    if isinstance(error, InputError):
        reason, detail = error.reason, str(error)
    else:
        reason = type(error).__name__
        detail = " ".join(str(error).split())[:1000]
    record_id, condition, sample = key
    return {
        "id": record_id,
        "condition": condition,
        "sample": sample,
        "reason": reason,
        "detail": detail,
        "video_id": video_id,
    }


def prepare_video(
    records: Sequence[Record],
    conditions: Sequence[Condition],
    pending: Set[Key],
    model: Target,
    video_folder: Path | None,
    num_samples: int = 1,
    predictions: Predictions | None = None,
    video_check: str = "fail",
) -> Iterator[Item | Row]:
    """Prompts with their frames, and failure rows: one or the other for each pending key of these records.

    Args:
        records: of one video. All their frames are decoded together, once for each size they are shown in, and
            prompts that show the same frames share a `Clip`. So a run reads each video once without a
            `cotasks.video.cache`, whose hits would be those of other runs only, for writing all frames to disk in this
            one; decoding goes on beside the model in any case.
        conditions: those to prepare.
        pending: keys to prepare; others are passed over.
        model: what the prompts are for.
        video_folder: needed where a condition shows the video.
        num_samples: answers a prompt; their keys differ in the last place.
        predictions: needed where a condition's steps are predicted.
        video_check: what is done about a video that is not the annotated one, of `cotasks.video.check.MODES`.
    """
    # prompts, each with the size of its frames; what cannot be written fails here, and so do other videos
    videos = videos_of(video_folder, video_check)
    asked: list[tuple[Record, Key, Prompt, Size]] = []
    for condition in conditions:
        for record in records:
            keys = [(record.id, condition.name, sample) for sample in range(num_samples)]
            keys = [key for key in keys if key in pending]
            if not keys:
                continue
            try:
                prompt, size = _prompt(record, condition, model, videos, predictions)
            except Exception as error:  # one odd record must not stop the others
                stop_at_environment_fault(error, record.id)
                yield from (failure_row(key, record.video_id, error) for key in keys)
            else:
                asked += [(record, key, prompt, size) for key in keys]

    # which frames are wanted of each video file in each size
    indices: dict[tuple[str, Size], set[int]] = {}
    for record, _, prompt, size in asked:
        if prompt.frames:
            indices.setdefault((record.video_path, size), set()).update(_in_file(record, prompt, videos)[1])
    # pixels: all frames of a file in one size are read when the first prompt needs them
    pixels: dict[tuple[str, Size], tuple[list[int], Image] | None] = {}
    clips: dict[Any, Clip] = {}
    for record, key, prompt, size in asked:
        if not prompt.frames:
            yield Item(key, record.video_id, prompt, None)
            continue
        place, numbers = (record.video_path, size), [f.index for f in prompt.frames]
        path, wanted = _in_file(record, prompt, videos)
        if place not in pixels:
            pixels[place] = _read(path, sorted(indices[place]), size)
        tracks = record.scene.entity_tracking if prompt.marks else ()
        same = (place, tuple(numbers), record.clip, record.fps, record.frame_count, prompt.marks, tracks)
        try:
            if same not in clips:
                # where not all frames can be read, some records of the video may still have theirs
                there, images = pixels[place] or (wanted, read_frames(path, wanted, size))
                images = images if there == wanted else images[np.searchsorted(there, wanted)]
                if prompt.marks:
                    images = draw_marks(images, numbers, record.scene, prompt.marks, source_size(record, videos))
                clips[same] = _clip(record, numbers, images)
        except Exception as error:
            stop_at_environment_fault(error, path)
            yield failure_row(key, record.video_id, error)
        else:
            yield Item(key, record.video_id, prompt, clips[same])


def _read(path: Path, indices: list[int], size: Size) -> tuple[list[int], Image] | None:
    """(frame numbers, frames (frames, height, width, 3) of size (width, height)); None where some cannot be read."""
    try:
        return indices, read_frames(path, indices, size)
    except Exception:  # said of each record that lacks its frames
        return None


def _prompt(
    record: Record,
    condition: Condition,
    model: Target,
    videos: Videos | None,
    predictions: Predictions | None,
) -> tuple[Prompt, Size]:
    """The prompt, and (width, height) of its frames."""
    source = shown_size(record, condition, videos)
    shown = shown_frames(record, condition)
    size = frame_size(model.family, *source, num_frames=len(shown), limits=model.limits)
    return build_prompt(record, condition, model.family, size, source, model.count_tokens, predictions), size


def _in_file(record: Record, prompt: Prompt, videos: Videos | None) -> tuple[Path, list[int]]:
    """(the record's video file, the numbers of the frames to read there for a prompt that shows some)."""
    assert videos is not None  # `generate` saw to it
    return videos.file(record), videos.look(record).readable([frame.index for frame in prompt.frames])


def _clip(record: Record, indices: list[int], pixels: Image) -> Clip:
    """Frames (frames, height, width, 3), `indices` those in the file, with numbers counted from the clip's first."""
    first, count = clip_range(record, indices)
    return Clip(pixels, [i - first for i in indices], record.fps, count)
