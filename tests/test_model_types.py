"""Further classes of a family's row: mixture of experts, and GLM-4.6V. What a batch gives, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from cotasks.models.families import family_of
from cotasks.models.tensors import Clip, collate_for_generation
from tests.tiny_models import Prompt, clip, prompt, tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

TYPES = ("qwen3_5_moe", "glm4v_moe", "glm46v", "minicpmv4_7")


@pytest.mark.parametrize("kind", TYPES)
def test_batches_answers_and_kept_vision(kind: str) -> None:
    model, processor = tiny(kind)
    row = family_of(model.config.model_type)
    rows: list[tuple[Prompt, Clip | None]] = [
        (prompt("Why did the man in the red shirt run after the dog?"), clip(row.name, seed=1)),
        (prompt("What does she do?", videos=0), None),
        (prompt("How?"), clip(row.name, 120, 200, 5, seed=2)),
    ]

    def collated(some: Any) -> Any:
        prompts, clips = zip(*some, strict=True)
        return collate_for_generation(processor, row, prompts, clips)

    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    batch = collated(rows)
    with torch.no_grad():
        many = model(**batch).logits[:, -1]
        alone = [model(**collated([one])).logits[0, -1] for one in rows]
        assert max((a - m).abs().max() for a, m in zip(alone, many, strict=True)) < 1e-4
        assert many.std(dim=-1).min() > 0.5
        together = model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :].tolist()
        for one, tokens in zip(rows, together, strict=True):
            single = collated([one])
            assert model.generate(**single, **options)[0, single["input_ids"].shape[1] :].tolist() == tokens
        # the vision tower's output, handed in
        grid = batch["video_grid_thw" if "video_grid_thw" in batch else "target_sizes_videos"]
        seen = model.model.get_video_features(batch["pixel_values_videos"], grid, return_dict=True)
        rest = {name: value for name, value in batch.items() if name != "pixel_values_videos"}
        again = model(**rest, mm_encoder_outputs={"video": seen}).logits[:, -1]
    assert (again - many).abs().max() <= 1e-5


def test_positions_of_minicpm_v_4_7() -> None:
    """Each frame lies on a canvas of its own, its time that of the canvas's origin: the marks around it at the corners,
    the next thing one step behind the longer side, as the model's documentation has it."""
    model, processor = tiny("minicpmv4_7")
    row = family_of("minicpmv4_7")
    shown = clip("minicpm_v", 600, 120, 3)
    batch = collate_for_generation(processor, row, [prompt("How?", videos=0), prompt("Why?")], [None, shown])
    kinds = batch["mm_token_type_ids"]
    positions, deltas = model.model.get_rope_index(
        batch["input_ids"],
        kinds,
        target_sizes_videos=batch["target_sizes_videos"],
        attention_mask=batch["attention_mask"],
    )
    text = int(batch["attention_mask"][0].sum())
    assert positions[:, 0, -text:].tolist() == [list(range(text))] * 3
    names = processor.tokenizer.convert_ids_to_tokens(batch["input_ids"][1])
    rows, columns = (side // 4 for side in batch["target_sizes_videos"][0].tolist())
    assert (rows, columns) == (1, 4)
    expected: list[tuple[int, int, int]] = []
    at = seen = origin = 0
    for name in names:
        if name == "<image>":
            origin, seen = at, 0
            expected.append((origin, origin - 1, origin - 1))
        elif name == "<|video_pad|>":
            expected.append((origin, origin + seen // columns, origin + seen % columns))
            seen += 1
        elif name == "</image>":
            expected.append((origin, origin + rows, origin + columns))
            at = origin + max(rows, columns) + 1
        else:
            expected.append((at, at, at))
            at += 1
    assert list(map(tuple, positions[:, 1].T.tolist())) == expected
    assert deltas.flatten().tolist() == [0, at - len(names)]
