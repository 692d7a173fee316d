"""Further classes of a family's row: mixture of experts, and GLM-4.6V. What a batch gives, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from cotasks.models.families import family_of
from cotasks.models.tensors import Clip, collate_for_generation
from tests.tiny_models import Prompt, clip, prompt, tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

TYPES = ("qwen3_5_moe", "glm4v_moe", "glm46v")


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
        seen = model.model.get_video_features(batch["pixel_values_videos"], batch["video_grid_thw"], return_dict=True)
        rest = {name: value for name, value in batch.items() if name != "pixel_values_videos"}
        again = model(**rest, mm_encoder_outputs={"video": seen}).logits[:, -1]
    assert (again - many).abs().max() <= 1e-5
