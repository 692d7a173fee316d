"""Where tokens stand in time: positions of the Qwen families against the published formula, token by token."""

from __future__ import annotations

import copy
import re
from functools import cache, partial, wraps
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cotasks.generate.prepare import _clip
from cotasks.models.families import FAMILIES
from cotasks.models.repairs import _one_after_another, repair
from cotasks.models.tensors import Clip, collate_for_generation
from cotasks.models.tiny import build_tiny
from cotasks.records.schema import Span
from cotasks.records.timeline import grid_frames
from tests.examples import examples
from tests.synthetic import make_record
from tests.tiny_models import available, clip, prompt, seen_token, tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

TIMES_IN_TEXT = ("qwen3_vl", "qwen3_5", "glm4v")
IN_TIME = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_5", "glm4v")
each_in_time = pytest.mark.parametrize("family", IN_TIME)


@cache
def repaired(family: str) -> tuple[Any, Any]:
    tiny(family)  # or skip
    model, processor = build_tiny(family)
    repair(model, processor)
    return model, processor


def collate(family: str, rows: list[tuple[str, Clip | None]]) -> Any:
    prompts = [prompt(text, videos=int(shown is not None)) for text, shown in rows]
    return collate_for_generation(tiny(family)[1], FAMILIES[family], prompts, [shown for _, shown in rows])


def published(family: str, batch: Any) -> tuple[Any, list[int]]:
    """Positions (3, rows, tokens), 0 where padded, and the position after each row's last token.

    From the docstring of `get_rope_index` as Qwen2.5-VL was released: a video begins at the position where text would
    go on; its tokens add their place in time, height and width; text begins at the greatest position of the video
    plus 1. In Qwen2-VL a patch is 1 later than the one before, in Qwen2.5-VL `tokens_per_second` for each second.
    Qwen3-VL has text between the patches and each of them alone.

    A place in time is cut off to an integer after a product in single precision, as in Qwen's training code
    (`expanded_range * second_per_grid_t * 2`, qwen-vl-finetune/qwenvl/data/rope2d.py) and in vLLM: the fourth patch of
    31/3 s each stands at 31 s. In double precision the stored 10.333333 gives 30.999999, one position less.
    """
    config = tiny(family)[0].config.vision_config
    grids = [[t, h // 2, w // 2] for t, h, w in batch.get("video_grid_thw", torch.zeros(0, 3)).int().tolist()]
    seconds = batch["second_per_grid_ts"].tolist() if "second_per_grid_ts" in batch else [None] * len(grids)
    step = [np.float32(1.0 if s is None else s * config.tokens_per_second) for s in seconds]
    result = torch.zeros(3, *batch["input_ids"].shape, dtype=torch.long)
    ends, video = [], -1
    for row, ids in enumerate(batch["input_ids"].tolist()):
        places = [i for i, seen in enumerate(batch["attention_mask"][row].tolist()) if seen]
        shown = [ids[i] == seen_token(family) for i in places]
        video += any(shown)
        start, done = 0, 0
        for is_video, group in groupby(shown):
            count = len(list(group))
            t, h, w = grids[video] if is_video else (0, 0, 0)
            assert not is_video or count == (h * w if family in TIMES_IN_TEXT else t * h * w)
            for token in range(count):
                axes = (token,) * 3
                if is_video:
                    axes = (int(np.float32(token // (h * w)) * step[video]), token // w % h, token % w)
                for axis in range(3):
                    result[axis, row, places[done + token]] = start + axes[axis]
            start = int(result[:, row, places[done : done + count]].max()) + 1
            done += count
        ends.append(start)
    return result, ends


def positions_of(model: Any, batch: Any) -> tuple[Any, Any]:
    named = {k: batch.get(k) for k in ("video_grid_thw", "attention_mask", "second_per_grid_ts") if k in batch}
    return model.model.get_rope_index(batch["input_ids"], mm_token_type_ids=batch["mm_token_type_ids"], **named)


rows = st.lists(
    st.tuples(
        st.text("Why not ", min_size=1, max_size=40),
        st.none() | st.tuples(st.integers(1, 9), st.integers(1, 200), st.sampled_from([(160, 120), (64, 200)])),
    ),
    min_size=1,
    max_size=3,
)


@given(st.sampled_from(IN_TIME), rows)
@example("qwen2_5_vl", [("Why?", (8, 90, (160, 120))), ("How?", None), ("Why not so?", (5, 3, (64, 200)))])
@example("qwen2_vl", [("Why?", (9, 1, (28, 28)))])
@example("qwen2_5_vl", [("Why?", (7, 155, (160, 120)))])
@examples(40)
def test_text_goes_on_after_the_video(family: str, rows: list[tuple[str, Any]]) -> None:
    shown = [(text, v and clip(family, *v[2], num_frames=v[0], step=v[1])) for text, v in rows]
    batch = collate(family, shown)
    expected, ends = published(family, batch)
    positions, deltas = positions_of(repaired(family)[0], batch)
    seen = batch["attention_mask"].bool()
    assert torch.equal(positions[:, seen], expected[:, seen])
    assert deltas.flatten().tolist() == [e - n for e, n in zip(ends, seen.sum(dim=1).tolist(), strict=True)]


def long_video(family: str) -> Any:
    """A video whose last temporal position lies far behind the longer side of a frame, and one that is short."""
    rows = [("Why did he run?", clip(family, step=90, seed=1)), ("How?", clip(family, num_frames=4, step=6, seed=2))]
    return collate(family, rows)


@each_in_time
def test_generation_and_training_use_these_positions(family: str) -> None:
    model, _ = repaired(family)
    batch = long_video(family)
    positions, ends = published(family, batch)
    steps = 5
    with torch.inference_mode():
        whole = model(**batch).logits[:, -1]
        given = model(**batch, position_ids=positions).logits[:, -1]
        assert (whole - given).abs().max() < 1e-5
        start = batch["input_ids"].shape[1]
        answer = model.generate(**batch, max_new_tokens=steps, min_new_tokens=steps, do_sample=False)[:, start:]
        # the same by hand: the whole prompt anew for each token
        for step in range(steps):
            inputs = dict(batch)
            for name, value in (("input_ids", answer[:, :step]), ("attention_mask", 1), ("mm_token_type_ids", 0)):
                new = torch.zeros(len(answer), step, dtype=torch.long) + value
                inputs[name] = torch.cat([batch[name], new], dim=1)
            after = torch.tensor(ends)[:, None] + torch.arange(step)
            inputs["position_ids"] = torch.cat([positions, after.expand(3, -1, -1)], dim=2)
            logits = model(**inputs).logits[:, -1]
            logits[:, model.generation_config.eos_token_id] = -torch.inf  # min_new_tokens
            assert logits.argmax(dim=-1).tolist() == answer[:, step].tolist()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl"])
def test_a_version_that_has_been_mended_is_left_alone(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = build_tiny(family)
    unmended = type(model.model).get_rope_index

    @wraps(unmended)
    def mended(self: Any, *inputs: Any, **named: Any) -> Any:
        return _one_after_another(partial(unmended, self), *inputs, **named)

    monkeypatch.setattr(type(model.model), "get_rope_index", mended)
    assert repair(model, processor) == {}
    assert "get_rope_index" not in vars(model.model)
    batch = long_video(family)
    expected, ends = published(family, batch)
    positions, deltas = positions_of(model, batch)
    seen = batch["attention_mask"].bool()
    assert torch.equal(positions[:, seen], expected[:, seen])
    assert deltas.flatten().tolist() == [e - n for e, n in zip(ends, seen.sum(dim=1).tolist(), strict=True)]
    # the version at hand is repaired, and says so as often as it is asked
    monkeypatch.undo()
    for _ in range(2):
        assert repair(model, processor) == {"text_positions": "after the video"}
    assert torch.equal(positions_of(model, batch)[0][:, seen], expected[:, seen])


@each_in_time
def test_repairing_twice_or_a_copy_is_repairing_once(family: str) -> None:
    model, processor = repaired(family)
    batch = long_video(family)
    again = copy.deepcopy(model)
    repair(again, processor)
    assert torch.equal(positions_of(again, batch)[0], positions_of(model, batch)[0])


def test_families_without_positions_in_time_stay_as_they_are() -> None:
    for family in set(available()) - set(IN_TIME):
        model, processor = build_tiny(family)
        repair(model, processor)
        assert not hasattr(model.model, "get_rope_index")


# A clip inside a longer file -----------------------------------------------------------------------------------------


def clip_of_a_record(family: str) -> Clip:
    """Frames 300 to 539 of a file of 30 frames a second, shown every 0.5 s, as `generate` cuts it out."""
    numbers = list(range(300, 540, 15))
    span = Span(10.0, 539 / 30)
    record = make_record("v", 0, fps=30.0, frame_count=3000, frames=grid_frames(numbers, 30.0), clip=span)
    return _clip(record, numbers, np.zeros_like(clip(family, num_frames=len(numbers)).pixels))


@each_in_time
def test_time_of_a_clip_inside_a_longer_file(family: str) -> None:
    """What tells a model the time of a patch counts from the clip's start and by the clip's own interval, 1.0 s."""
    model, processor = repaired(family)
    batch = collate(family, [("Why?", clip_of_a_record(family))])
    ids = batch["input_ids"][0]
    if family.startswith("qwen3"):  # times in the text: the middle of each patch of two frames
        words = processor.tokenizer.decode(ids).split("<")
        stamps = [float(w.split(" ")[0]) for w in words if " seconds>" in w]
        assert stamps == pytest.approx([0.25 + patch for patch in range(8)], abs=0.051)  # one decimal
        return
    if family == "glm4v":  # whole seconds behind each patch, those of its first frame
        words = processor.tokenizer.decode(ids).split("<|end_of_image|>")[1:]
        assert [int(re.match(r"\d+", word)[0]) for word in words] == list(range(8))
        return
    positions, _ = positions_of(model, batch)
    temporal = sorted(set(positions[0, 0, ids == seen_token(family)].tolist()))
    if family == "qwen2_5_vl":
        assert batch["second_per_grid_ts"].tolist() == [1.0]
        step = model.config.vision_config.tokens_per_second
    else:
        assert "second_per_grid_ts" not in batch  # Qwen2-VL counts patches, whatever their time
        step = 1
    assert [t - temporal[0] for t in temporal] == [step * patch for patch in range(8)]
