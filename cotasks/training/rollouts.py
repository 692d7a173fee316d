"""Prompts that a trainer samples answers to: examples of `cotasks.instructions`, their frames as pictures.

    rows.with_transform(PicturePrompts(collator))     # a `datasets.Dataset` of examples, for TRL's GRPOTrainer

TRL (1.16) takes pictures in its prompts, and no videos: GRPOTrainer reads the column `images` and hands nothing of a
video to the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotasks.errors import InputError, MissingExtra, stop_at_environment_fault
from cotasks.models.families import Family
from cotasks.training.collator import TrainingCollator
from cotasks.training.examples import examples_of
from cotasks.training.export import picture_messages


@dataclass(frozen=True)
class PicturePrompts:
    """Columns of examples with one question each -> those of GRPOTrainer: prompt, images, id and readable.

    `prompt` is the user's turn with a placeholder for each picture, `images` are the frames. An example whose frames
    cannot be read is reported, and has black pictures and False in `readable`: nothing it is answered with may count.

    Raises InputError for an example of several turns.
    """

    collator: TrainingCollator
    """Which reads the frames, and is told what cannot be read."""
    named: bool = True
    """Whether what the text calls a frame stands before it, see `picture_messages`."""

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Columns in the same order."""
        made: dict[str, dict[str, Any]] = {}  # a prompt that is sampled several times is read once
        rows = []
        for row in examples_of(columns):
            if row["id"] not in made:
                made[row["id"]] = self.prompt(row)
            rows.append(made[row["id"]])
        return {name: [row[name] for row in rows] for name in ("prompt", "images", "id", "readable")}

    def prompt(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Of one example."""
        try:
            from PIL import Image
        except ImportError:
            raise MissingExtra("pillow", "video") from None
        if len(row["messages"]) != 2:
            raise InputError(f"{row['id']}: {row['task']} has several turns; expected one question, one answer")
        readable, pixels = True, np.zeros((len(row["frames"]), row["height"], row["width"], 3), np.uint8)
        try:
            if (clip := self.collator.clip(row)) is not None:
                pixels = clip.pixels
        except Exception as error:  # one damaged video must not stop the others
            stop_at_environment_fault(error, row["id"])
            reason = error.reason if isinstance(error, InputError) else type(error).__name__
            self.collator.report(
                {"event": "skipped", "id": row["id"], "task": row["task"], "reason": reason, "detail": str(error)}
            )
            readable = False
        turn = picture_messages(row, self.named)[0]
        content = [{name: value for name, value in part.items() if value is not None} for part in turn["content"]]
        return {
            "prompt": [{"role": turn["role"], "content": content}],
            "images": [Image.fromarray(frame) for frame in pixels],
            "id": row["id"],
            "readable": readable,
        }


def check_pictures(processor: Any, family: Family, prompt: Mapping[str, Any]) -> None:
    """Raises InputError where a processor gives the pictures of a prompt another size than they have, and the family's
    boxes are in pixels of it; of processors that do not tell (no `image_grid_thw`), nothing is known."""
    pictures = prompt["images"]
    if not pictures or family.coordinates != "pixels":
        return
    made = processor.image_processor(images=[pictures[0]], return_tensors="np")
    if "image_grid_thw" not in made:
        return
    patch = processor.image_processor.patch_size
    _, height, width = (int(side) for side in made["image_grid_thw"][0])
    if (width * patch, height * patch) != pictures[0].size:
        raise InputError(
            f"{prompt['id']}: the processor makes pictures of {pictures[0].size} into ({width * patch}, "
            f"{height * patch}), and boxes in pixels would be of another size; expected sizes that it leaves alone",
            "resized by the processor",
        )
