"""What is worked out once a video gives what would be worked out for each prompt, for each family."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cotasks.generate import backends
from cotasks.generate.local.encode import Encoded, Encoder
from cotasks.generate.local.vision import Reuse, model_inputs, reuse_of
from cotasks.generate.prepare import Item
from cotasks.models.families import FAMILIES
from cotasks.models.load import Model, load_model
from cotasks.models.tensors import Clip, collate_for_generation
from cotasks.models.tiny import save_tiny
from cotasks.prompts.prompt import Prompt
from tests.test_generate import BOTH, answers, make_world, run
from tests.tiny_models import clip, prompt, tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

each_family = pytest.mark.parametrize("family", sorted(FAMILIES))
each_with_prefix = pytest.mark.parametrize("family", sorted(f for f, row in FAMILIES.items() if row.prefix_reuse))
PLAIN, VISION, PREFIX = Reuse(False, False), Reuse(True, False), Reuse(True, True)
TOLERANCE = 1e-4
"""Greatest difference of a logit, float32; logits spread by about 1.6. As between batches of one and of many."""
QUESTIONS = (
    "Why did the man in the red shirt run after the dog in the park?",
    "How?",
    "What does the lady do after that, and what comes after what she does then?",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Family -> model, loaded once."""

    @cache
    def load(family: str) -> Model:
        tiny(family)  # or skip
        folder = tmp_path_factory.mktemp(family)
        save_tiny(folder, family)
        return load_model(str(folder))

    return load


def item(number: int, text: str, shown: Clip | None) -> Item:
    messages = prompt(text, videos=int(shown is not None)).messages
    return Item((f"q{number}", "baseline", 0), "v", Prompt(messages, (), "", 0), shown)


def items(family: str, *, mixed: bool = True) -> list[Item]:
    """Prompts about two clips of other size and, where the family can batch that, length; and one without a clip.

    The seconds between frames are many, so that in families with positions in time the video ends after the text
    around it begins.
    """
    frames = 5 if FAMILIES[family].limits.fixed is None and mixed else 8
    first, second = clip(family, step=90, seed=1), clip(family, 120, 200, frames, step=7, seed=2)
    shown = [(0, first), (1, first), (2, second), (0, None), (1, second), (2, first)]
    return [item(i, QUESTIONS[question], which) for i, (question, which) in enumerate(shown)]


def encoded(model: Model, prompts: Sequence[Item]) -> list[Encoded]:
    rows = list(Encoder(model, 8).encode(prompts))
    assert all(isinstance(row, Encoded) for row in rows), rows
    return sorted(rows, key=lambda row: row.item.key)  # type: ignore[union-attr]


def generated(model: Model, rows: Sequence[Encoded], reuse: Reuse) -> tuple[Any, Any]:
    """(tokens, logits of each step) of a batch."""
    config = model.generation_config(8)
    config.min_new_tokens = 8
    config.return_dict_in_generate = config.output_logits = True
    with torch.inference_mode():
        inputs, width = model_inputs(model, rows, reuse)
        output = model.model.generate(**inputs, generation_config=config)
    return output.sequences[:, width:], torch.stack(output.logits)


@each_family
def test_a_batch_is_what_the_collator_makes(family: str, models: Any) -> None:
    model = models(family)
    prompts = items(family)
    expected = collate_for_generation(
        model.processor, model.family, [i.prompt for i in prompts], [i.clip for i in prompts]
    )
    inputs, width = model_inputs(model, encoded(model, prompts), PLAIN)
    assert width == expected["input_ids"].shape[1]
    assert inputs.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(inputs[name], tensor), name


@each_family
def test_the_vision_tower_s_output_can_be_handed_in(family: str, models: Any) -> None:
    model = models(family)
    rows = encoded(model, items(family))
    tokens, logits = generated(model, rows, PLAIN)
    again, same = generated(model, rows, VISION)
    assert torch.equal(again, tokens)
    assert (same - logits).abs().max() <= 1e-6
    assert logits.std(dim=-1).min() > 0.5  # else a small difference would say little


@each_with_prefix
def test_the_beginning_of_a_prompt_can_be_handed_in(family: str, models: Any) -> None:
    model = models(family)
    assert reuse_of(model) == PREFIX
    prompts = items(family)
    plain = encoded(model, prompts)
    tokens, logits = generated(model, plain, PLAIN)
    rows = encoded(model, prompts)
    again, same = generated(model, rows, PREFIX)
    assert torch.equal(again, tokens)
    assert (same - logits).abs().max() < TOLERANCE
    assert len(set(map(tuple, tokens.tolist()))) >= 5
    # the same from what is there already, alone and in any company
    for chosen in ([0], [5, 0], [3], [2, 1, 4], [3, 2]):
        again, same = generated(model, [rows[i] for i in chosen], PREFIX)
        assert torch.equal(again, tokens[chosen])
        assert (same - logits[:, chosen]).abs().max() < TOLERANCE


@each_family
def test_what_is_handed_in_is_what_is_seen(family: str, models: Any) -> None:
    """A wrong clip's output would be noticed."""
    model = models(family)
    rows = encoded(model, items(family, mixed=False))
    _, logits = generated(model, rows, reuse_of(model))
    before = rows[0].video, rows[2].video
    dark = dataclasses.replace(rows[0].item.clip, pixels=255 - rows[0].item.clip.pixels)
    (other,) = encoded(model, [dataclasses.replace(rows[0].item, clip=dark)])
    _, changed = generated(model, [other, *rows[1:]], reuse_of(model))
    assert (rows[0].video, rows[2].video) == before
    difference = (changed - logits)[0].abs().amax(dim=-1)
    assert difference[0] > 0.01
    assert difference[1:].max() < TOLERANCE


@each_family
def test_pixels_are_processed_and_seen_once_a_clip(family: str, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models(family)
    processed, seen = [], []
    processor = type(model.processor.video_processor)
    as_images = model.family.frames_are_images or not hasattr(model.model.base_model, "get_video_features")
    name = "get_image_features" if as_images else "get_video_features"
    process, see = processor.preprocess, getattr(type(model.model.base_model), name)

    def counted_process(self: Any, videos: Any, *args: Any, **kwargs: Any) -> Any:
        processed.append(len(videos))
        return process(self, videos, *args, **kwargs)

    def counted_see(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(1)
        return see(self, *args, **kwargs)

    monkeypatch.setattr(processor, "preprocess", counted_process)
    rows = encoded(model, items(family))
    assert processed == [1, 1]
    assert len({id(row.video) for row in rows if row.video}) == 2
    counted_see.__signature__ = inspect.signature(see)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(model.model.base_model), name, counted_see)
    for reuse in (VISION, reuse_of(model)):
        for batch in (rows[:3], rows[3:]):
            generated(model, batch, reuse)
    assert len(seen) == 2


@each_family
def test_answers_are_the_same_with_and_without_reuse(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(family)  # or skip
    world, model = make_world(tmp_path / "world", videos=2, questions=2), tmp_path / "model"
    save_tiny(model, family)
    monkeypatch.setattr(backends, "load_model", cache(load_model))
    names = (*BOTH, "blind", "baseline:frames=4")
    for out, options in (
        ("plain", {"vision_reuse": False, "prefix_reuse": False, "batch_size": 1}),
        ("vision", {"prefix_reuse": False}),
        ("prefix", {}),
    ):
        assert run(world, tmp_path / out, *names, model=str(model), **options).complete
    least = (
        3 if family in ("qwen3_5", "minicpm_v") else 8
    )  # the recurrent layers of that tiny model tell prompts apart less
    assert len(set(answers(tmp_path / "plain").values())) > least
    assert answers(tmp_path / "plain") == answers(tmp_path / "vision") == answers(tmp_path / "prefix")


def test_reuse_is_given_up_where_it_is_not_known_to_be_exact(models: Any) -> None:
    model = models("qwen2_vl")
    assert reuse_of(model, vision=False) == PLAIN  # a beginning cannot be had without the vision
    assert reuse_of(model, prefix=False) == VISION
    assert reuse_of(models("qwen3_5")) == VISION  # its row says so
    text = model.model.config.get_text_config(decoder=True)
    kept = text.layer_types, text.sliding_window
    try:
        text.layer_types, text.sliding_window = ["sliding_attention"] * 2, 16
        assert reuse_of(model) == VISION
    finally:
        text.layer_types, text.sliding_window = kept
    name = model.model.config._attn_implementation
    try:
        model.model.config._attn_implementation = "flash_attention_2"
        assert reuse_of(model) == VISION
    finally:
        model.model.config._attn_implementation = name
