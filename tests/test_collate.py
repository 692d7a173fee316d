from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES
from cotasks.models.tensors import Clip, collate_for_generation, rows_together, thinking_off
from tests.examples import examples
from tests.tiny_models import Prompt, clip, pixels_name, prompt, tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

GRIDS = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_5", "glm4v"]
GRIDS_OF_OTHERS: dict[str, tuple[str, Any]] = {
    "video_llama_3": ("video_grid_thw", lambda n, h, w: [[n, h, w]]),
    "minicpm_v": ("target_sizes_videos", lambda n, h, w: [[h, w]] * n),
    "kimi_k25": ("video_grid_thw", lambda n, h, w: [[min(4, n - i), h, w] for i in range(0, n, 4)]),
}
"""Family -> (tensor, what it says of frames of (height, width) in patches)."""
each_family = pytest.mark.parametrize("family", sorted(FAMILIES))

TOLERANCE = 1e-4
"""Greatest difference of a logit between a batch of one and of many, float32; logits spread by about 1.6."""

Row = tuple[Prompt, Clip | None]


def collate(family: str, rows: Sequence[Row]) -> Any:
    prompts, frames = zip(*rows, strict=True)
    return collate_for_generation(tiny(family)[1], FAMILIES[family], prompts, frames)


def last_logits(family: str, rows: Sequence[Row]) -> Any:
    with torch.no_grad():
        return tiny(family)[0](**collate(family, rows)).logits[:, -1]


def mixed_rows(family: str) -> list[Row]:
    """Texts of different length, clips of different size, and length where it may differ, and a row without video."""
    other = 5 if FAMILIES[family].limits.fixed is None else 8
    return [
        (prompt("Why did the man in the red shirt run after the dog in the park?"), clip(family, seed=1)),
        (prompt("What does the lady do after that?", videos=0), None),
        (prompt("How?"), clip(family, 120, 200, other, seed=2)),
    ]


@each_family
def test_batch_of_one_and_of_many_give_the_same_logits(family: str) -> None:
    rows = mixed_rows(family)
    many = last_logits(family, rows)
    for row, together in zip(rows, many, strict=True):
        alone = last_logits(family, [row])[0]
        assert (alone - together).abs().max() < TOLERANCE
    assert many.std(dim=-1).min() > 1  # else a small difference would say little


@each_family
def test_frames_reach_the_right_row(family: str) -> None:
    rows = mixed_rows(family)
    before = last_logits(family, rows)
    rows[2] = (rows[2][0], replace(rows[2][1], pixels=255 - rows[2][1].pixels))
    after = last_logits(family, rows)
    assert (before - after).abs().amax(dim=-1)[:2].max() < TOLERANCE
    assert (before - after).abs().amax(dim=-1)[2] > 0.01


@each_family
def test_generation_agrees_one_by_one(family: str) -> None:
    rows = mixed_rows(family)
    model, _ = tiny(family)
    batch = collate(family, rows)
    start = batch["input_ids"].shape[1]
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    together = model.generate(**batch, **options)[:, start:].tolist()
    alone = []
    for row in rows:
        single = collate(family, [row])
        alone.append(model.generate(**single, **options)[0, single["input_ids"].shape[1] :].tolist())
    assert together == alone


@each_family
def test_padding_is_on_the_left_and_text_is_whole(family: str) -> None:
    rows = mixed_rows(family)
    batch = collate(family, rows)
    processor = tiny(family)[1]
    assert (batch["attention_mask"][:, -1] == 1).all()
    assert batch["attention_mask"][1, 0] == 0
    options = thinking_off(FAMILIES[family])
    text = processor.apply_chat_template(rows[1][0].messages, tokenize=False, add_generation_prompt=True, **options)
    ids = batch["input_ids"][1][batch["attention_mask"][1] == 1]
    # Molmo 2's processor puts the first token before a text itself
    assert processor.tokenizer.decode(ids).removeprefix("<bos>") == text.removeprefix("<bos>")


@each_family
def test_batch_without_any_video(family: str) -> None:
    rows = [(prompt("Why did he run?", videos=0), None), (prompt("How?", videos=0), None)]
    batch = collate(family, rows)
    assert pixels_name(family) not in batch
    alone = torch.cat([last_logits(family, [row]) for row in rows])
    assert (last_logits(family, rows) - alone).abs().max() < TOLERANCE


@each_family
@pytest.mark.parametrize("num_frames", [1, 2, 3, 7])
def test_few_and_odd_frames(family: str, num_frames: int) -> None:
    frames = clip(family, num_frames=num_frames)
    batch = collate(family, [(prompt("Why?"), frames)])
    assert torch.isfinite(tiny(family)[0](**batch).logits).all()
    _, height, width, _ = frames.pixels.shape
    if family in ("gemma4", "molmo2"):
        assert len(batch[pixels_name(family)]) == num_frames
        return
    if family in GRIDS_OF_OTHERS:
        name, grid = GRIDS_OF_OTHERS[family]
        patch = tiny(family)[1].video_processor.patch_size
        assert batch[name].tolist() == grid(num_frames, height // patch, width // patch)
        return
    if family not in GRIDS:
        clips = () if FAMILIES[family].frames_are_images else (1,)
        assert batch[pixels_name(family)].shape == (*clips, num_frames, 3, height, width)
        return
    patch = tiny(family)[1].video_processor.patch_size
    assert batch["video_grid_thw"].tolist() == [[(num_frames + 1) // 2, height // patch, width // patch]]
    if num_frames % 2:  # as if the last frame had been given twice
        filled = replace(
            frames,
            pixels=np.concatenate([frames.pixels, frames.pixels[-1:]]),
            indices=[*frames.indices, frames.indices[-1]],
        )
        again = collate(family, [(prompt("Why?"), filled)])
        assert torch.equal(again["pixel_values_videos"], batch["pixel_values_videos"])


# Seconds per temporal patch -----------------------------------------------------------------------------------------


def clip_inside_a_file(family: str, fps: float, first: int, file_frames: Sequence[int], end: int) -> Clip:
    """The clip [first, end) of a longer file, frames given by their number in the file."""
    numbers = [number - first for number in file_frames]
    return Clip(clip(family, num_frames=len(numbers)).pixels, numbers, fps, end - first)


def seconds_per_patch(frames: Clip) -> float:
    batch = collate("qwen2_5_vl", [(prompt("Why?"), frames)])
    (seconds,) = batch["second_per_grid_ts"].tolist()
    return float(seconds)


def test_seconds_per_patch_of_a_clip_inside_a_longer_file() -> None:
    # 16 frames, one every 0.5 s, from second 10 to 18 of a file of 30 frames a second: 2 frames a patch are 1.0 s
    frames = clip_inside_a_file("qwen2_5_vl", 30.0, 300, range(300, 540, 15), 540)
    assert seconds_per_patch(frames) == 1.0
    # the same by a file of 25 frames a second, one frame every 0.2 s from second 4 to 8: 20 frames, 0.4 s a patch
    frames = clip_inside_a_file("qwen2_5_vl", 25.0, 100, range(100, 200, 5), 200)
    assert seconds_per_patch(frames) == pytest.approx(0.4, abs=1e-6)


def test_positions_of_a_clip_inside_a_longer_file() -> None:
    """What the model makes of it: temporal positions two a second, so one patch of 1.0 s is two further."""
    model, processor = tiny("qwen2_5_vl")
    frames = clip_inside_a_file("qwen2_5_vl", 30.0, 300, range(300, 540, 15), 540)
    batch = collate("qwen2_5_vl", [(prompt("Why?"), frames)])
    positions, _ = model.model.get_rope_index(
        batch["input_ids"],
        batch["mm_token_type_ids"],
        video_grid_thw=batch["video_grid_thw"],
        second_per_grid_ts=batch["second_per_grid_ts"],
        attention_mask=batch["attention_mask"],
    )
    shown = batch["input_ids"][0] == processor.video_token_id
    temporal = sorted(set(positions[0, 0, shown].tolist()))
    per_second = model.config.vision_config.tokens_per_second
    assert [t - temporal[0] for t in temporal] == [per_second * patch for patch in range(8)]


@given(
    fps=st.floats(5, 60),
    first=st.integers(0, 10_000),
    num_frames=st.integers(1, 12),
    step=st.integers(1, 60),
)
@examples(30)
def test_seconds_per_patch_of_even_frames(fps: float, first: int, num_frames: int, step: int) -> None:
    numbers = range(first, first + num_frames * step, step)
    frames = clip_inside_a_file("qwen2_5_vl", fps, first, numbers, first + num_frames * step)
    assert seconds_per_patch(frames) == pytest.approx(2 * step / fps, rel=1e-5)


def test_time_stamps_in_the_text_count_from_the_clip() -> None:
    frames = clip_inside_a_file("qwen3_vl", 30.0, 300, range(300, 390, 15), 540)
    processor = tiny("qwen3_vl")[1]
    text = processor.tokenizer.decode(collate("qwen3_vl", [(prompt("Why?"), frames)])["input_ids"][0])
    # patches of frames at 0.0 and 0.5 s, 1.0 and 1.5 s, 2.0 and 2.5 s; the middle of each
    assert [part.split(">")[0] for part in text.split("<") if "seconds" in part] == [
        "0.2 seconds",
        "1.2 seconds",
        "2.2 seconds",
    ]
    assert frames.indices == list(range(0, 90, 15))


def test_odd_frames_leave_the_clip_as_it_was() -> None:
    frames = clip("qwen3_vl", num_frames=3)
    collate("qwen3_vl", [(prompt("Why?"), frames)])
    assert frames.indices == [0, 15, 30]


# Groups -------------------------------------------------------------------------------------------------------------


def test_rows_together() -> None:
    lengths = [8, None, 5, 8, None, 5]

    def groups(family: str, chosen: Sequence[int | None]) -> list[list[int]]:
        return rows_together(FAMILIES[family], [None if n is None else clip(family, num_frames=n) for n in chosen])

    assert groups("qwen2_5_vl", lengths) == [[0, 1, 2, 3, 4, 5]]
    assert groups("llava_onevision", lengths) == [[0, 1, 3, 4], [2, 5]]
    assert groups("llava_next_video", [None, None]) == [[0, 1]]
    assert groups("llava_onevision", []) == groups("qwen3_vl", []) == []


@pytest.mark.parametrize("family", ["llava_onevision", "llava_next_video", "internvl"])
def test_clips_of_different_length_are_collated_in_groups(family: str) -> None:
    rows: list[Row] = [(prompt(f"Why {n}?"), clip(family, num_frames=n)) for n in (8, 5, 8)]
    with pytest.raises(InputError, match=r"cannot stack clips of \[5, 8\] frames"):
        collate(family, rows)
    seen = []
    for group in rows_together(FAMILIES[family], [frames for _, frames in rows]):
        seen += group
        assert len(collate(family, [rows[i] for i in group])["input_ids"]) == len(group)
    assert sorted(seen) == [0, 1, 2]


# Bad input ----------------------------------------------------------------------------------------------------------


def test_processor_without_chat_template() -> None:
    from transformers import Qwen2_5_VLProcessor

    processor = tiny("qwen2_5_vl")[1]
    bare = Qwen2_5_VLProcessor(processor.image_processor, processor.tokenizer, processor.video_processor)
    with pytest.raises(InputError, match="Qwen2_5_VLProcessor has no chat template"):
        collate_for_generation(bare, FAMILIES["qwen2_5_vl"], [prompt("Why?", videos=0)], [None])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        # (text, placeholders, whether frames are given)
        ([("Why?", 0, False), ("Why?", 0, True)], r"row 1: .* holds 0 of"),
        ([("Why?", 1, False)], r"row 0: .* holds 1 of <\|video_pad\|>; expected 0"),
        ([("Why?", 2, True)], "holds 2 of"),
        ([("A <|video_pad|> in the text", 1, True)], "holds 2 of"),
        ([], "0 prompts"),
    ],
)
def test_messages_and_frames_disagree(rows: list[tuple[str, int, bool]], words: str) -> None:
    prompts = [prompt(text, videos) for text, videos, _ in rows]
    frames = [clip("qwen2_5_vl") if shown else None for _, _, shown in rows]
    with pytest.raises(InputError, match=words) as caught:
        collate_for_generation(tiny("qwen2_5_vl")[1], FAMILIES["qwen2_5_vl"], prompts, frames)
    assert "\n" not in str(caught.value)


def test_more_prompts_than_clips() -> None:
    with pytest.raises(InputError, match="2 prompts and 1 clips"):
        collate_for_generation(
            tiny("qwen2_5_vl")[1], FAMILIES["qwen2_5_vl"], [prompt("Why?")] * 2, [clip("qwen2_5_vl")]
        )


@pytest.mark.parametrize(("family", "words"), [("qwen2_5_vl", "multiples of 28"), ("llava_onevision", "56x56")])
def test_frames_of_another_size(family: str, words: str) -> None:
    good = clip(family)
    wrong = replace(good, pixels=np.zeros((8, 60, 84, 3), np.uint8))
    with pytest.raises(InputError, match=f"row 1: frames of 84x60; {family} takes {words}"):
        collate(family, [(prompt("Why?"), good), (prompt("Why?"), wrong)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"indices": [300, 315]}, "frame numbers 300 to 315; expected .* to 29"),
        ({"indices": [15, 0]}, "ascending"),
        ({"indices": [0]}, "1 frame numbers for 2 frames"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"pixels": np.zeros((2, 3, 28, 28), np.uint8)}, r"shape \(2, 3, 28, 28\)"),
        ({"pixels": np.zeros((2, 28, 28, 3), np.float32)}, "float32"),
        ({"pixels": np.zeros((0, 28, 28, 3), np.uint8), "indices": []}, "expected uint8"),
    ],
)
def test_clip_that_contradicts_itself(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {
        "pixels": np.zeros((2, 28, 28, 3), np.uint8),
        "indices": [0, 15],
        "fps": 30.0,
        "total_num_frames": 30,
    }
    Clip(**good)
    with pytest.raises(InputError, match=words):
        Clip(**{**good, **change})
