from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.generate.settings import conditions_of
from cotasks.models.families import (
    FAMILIES,
    Family,
    Limits,
    align_frames_with_images,
    family_of,
    frame_size,
    guess_family,
    limits_of,
)
from cotasks.prompts import build_prompt, parse_condition
from cotasks.prompts.condition import condition_settings
from cotasks.records.boxes import CoordinateFormat
from tests.examples import examples
from tests.synthetic import make_record

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

DYNAMIC = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_5", "glm4v", "video_llama_3"]
FIXED = ["llava_onevision", "llava_next_video", "internvl", "molmo2", "perception_lm"]

VIDEO_PROCESSORS = {
    "qwen2_5_vl": "Qwen2VLVideoProcessor",
    "qwen2_vl": "Qwen2VLVideoProcessor",
    "qwen3_vl": "Qwen3VLVideoProcessor",
    "qwen3_5": "Qwen3VLVideoProcessor",
    "glm4v": "Glm4vVideoProcessor",
    "gemma4": "Gemma4VideoProcessor",
    "molmo2": "Molmo2VideoProcessor",
    "llava_onevision": "LlavaOnevisionVideoProcessor",
    "llava_next_video": "LlavaNextVideoVideoProcessor",
    "internvl": "InternVLVideoProcessor",
    "video_llama_3": "VideoLlama3VideoProcessor",
    "minicpm_v": "MiniCPMV4_6VideoProcessor",
    "perception_lm": "PerceptionLMVideoProcessor",
    "kimi_k25": "Kimi_K25VideoProcessor",
}
# as published: video_preprocessor_config.json, or preprocessor_config.json where a checkpoint has no other
PUBLISHED = {
    "qwen2_5_vl": {"size": {"shortest_edge": 3136, "longest_edge": 12845056}},
    "qwen2_vl": {"size": {"shortest_edge": 3136, "longest_edge": 12845056}},
    "qwen3_vl": {"size": {"shortest_edge": 4096, "longest_edge": 25165824}},
    "qwen3_5": {"size": {"shortest_edge": 4096, "longest_edge": 25165824}},
    "glm4v": {},  # the class's defaults
    "gemma4": {},
    "molmo2": {},
    "llava_onevision": {"size": {"height": 384, "width": 384}},
    "llava_next_video": {
        "size": {"shortest_edge": 336},
        "crop_size": {"height": 336, "width": 336},
        "do_center_crop": True,
    },
    "internvl": {  # InternVL3; InternVL3.5's is the class default, see below
        "size": {"height": 448, "width": 448},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    },
    "video_llama_3": {"size": {"shortest_edge": 16 * 28 * 28, "longest_edge": 16_384 * 28 * 28}},
    "minicpm_v": {},
    "perception_lm": {},
    "kimi_k25": {},
}


class WithVideo:
    """What `limits_of` reads of a processor: its video processor, of the real class."""

    def __init__(self, video_processor: Any) -> None:
        self.video_processor = video_processor


@cache
def at_hand(family: str, published: bool) -> tuple[Family, Any, Limits]:
    if not hasattr(transformers, VIDEO_PROCESSORS[family]):
        pytest.skip(f"transformers {transformers.__version__} knows no {family} yet")
    settings_ = PUBLISHED[family] if published else {}
    video = getattr(transformers, VIDEO_PROCESSORS[family])(**settings_)
    row = FAMILIES[family]
    return row, video, limits_of(WithVideo(video), row)


sides = st.integers(1, 4096) | st.sampled_from(
    [1, 27, 28, 29, 112, 240, 270, 320, 360, 480, 640, 720, 1080, 1280, 1920]
)
families = st.sampled_from(sorted(FAMILIES))


def resized_by(video: Any, size: tuple[int, int], num_frames: int, cap: bool) -> tuple[int, int]:
    """(width, height) that the processor's own `resize` makes of such frames; on the meta device, so at no cost."""
    frames = torch.empty((1, num_frames, 3, size[1], size[0]), device="meta")
    result = video.resize(
        frames,
        size=video.size,
        resample=video.resample,
        factor=video.patch_size * video.merge_size,
        temporal_factor=video.temporal_patch_size,
        cap_pixels_per_frame=cap,
    )
    return result.shape[-1], result.shape[-2]


@given(st.sampled_from(DYNAMIC), st.booleans(), sides, sides, st.integers(1, 200))
@example("qwen2_5_vl", True, 1280, 720, 64)
@example("qwen3_vl", False, 1920, 1080, 15)
@example("qwen3_vl", False, 32, 32, 5)  # counted as 4 frames
@examples(400)
def test_processors_leave_frame_size_alone(
    family: str, published: bool, width: int, height: int, num_frames: int
) -> None:
    assume(max(width, height) <= 100 * min(width, height))
    row, video, limits = at_hand(family, published)
    if family == "video_llama_3":  # by default more than 5 frames of its least size are too much: no size is left alone
        assume(limits.max_video_pixels >= num_frames * limits.min_pixels * 1.05)
    size = frame_size(row, width, height, num_frames, limits=limits)
    shown = max(num_frames, 2 if row.limits.min_video_pixels else 1)  # Qwen3-VL's `resize` refuses a single frame
    assert resized_by(video, size, shown, cap=False) == size
    if num_frames % 2 == 0 or not row.limits.min_video_pixels:
        assert resized_by(video, size, num_frames, cap=True) == size


@given(families, st.booleans(), sides, sides, st.integers(2, 5))
@example("llava_next_video", False, 1280, 720, 2)
@examples(40)
def test_whole_processor_call_does_not_resize(
    family: str, published: bool, width: int, height: int, num_frames: int
) -> None:
    assume(max(width, height) <= 100 * min(width, height))
    row, video, limits = at_hand(family, published)
    cap = None if limits.fixed or limits.nearest else 200_000
    w, h = frame_size(row, width, height, num_frames, cap, limits=limits)
    frames = np.random.default_rng(width).integers(0, 256, (num_frames, h, w, 3), dtype=np.uint8)
    options = {"return_tensors": "pt", "do_sample_frames": False, **row.processor_options}
    options.pop("use_image_id", None)  # which is for what writes the text
    whole = video([frames], **options)
    untouched = video([frames], do_resize=False, do_center_crop=False, **options)
    assert torch.equal(whole["pixel_values_videos"], untouched["pixel_values_videos"])
    if family == "kimi_k25":
        grids = [[min(4, num_frames - i), h // 14, w // 14] for i in range(0, num_frames, 4)]
        assert whole["video_grid_thw"].tolist() == grids
    elif family == "minicpm_v":
        assert whole["target_sizes_videos"].tolist() == [[h // 14, w // 14]] * num_frames
    elif "video_grid_thw" in whole:
        patch = video.patch_size
        assert whole["video_grid_thw"].tolist() == [
            [math.ceil(num_frames / video.temporal_patch_size), h // patch, w // patch]
        ]
    elif family == "molmo2":
        assert whole["pixel_values_videos"].shape == (num_frames, 27 * 27, 14 * 14 * 3)
    elif family == "gemma4":
        assert ((whole["video_position_ids"] >= 0).all(-1).sum(-1) == w * h // 16**2).all()
    else:
        assert whole["pixel_values_videos"].shape == (1, num_frames, 3, h, w)


@given(sides, sides, st.sampled_from([70, 140, 280, 1120]))
@example(1280, 720, 70)
@examples(300)
def test_gemma_s_processor_leaves_frame_size_alone(width: int, height: int, tokens: int) -> None:
    module = pytest.importorskip("transformers.models.gemma4.video_processing_gemma4")
    get_aspect_ratio_preserving_size = module.get_aspect_ratio_preserving_size
    assume(max(width, height) <= 100 * min(width, height))
    row, video = FAMILIES["gemma4"], transformers.Gemma4VideoProcessor(max_soft_tokens=tokens)
    w, h = frame_size(row, width, height, 64, limits=limits_of(WithVideo(video), row))
    assert get_aspect_ratio_preserving_size(h, w, 16, tokens * 9, 3) == (h, w)
    once = get_aspect_ratio_preserving_size(height, width, 16, tokens * 9, 3)
    assert w >= once[1]
    assert h >= once[0]


@given(sides, sides, st.sampled_from(["4x", "16x"]), st.sampled_from([448, 336]))
@example(1280, 720, "16x", 448)
@examples(300)
def test_minicpm_s_processor_leaves_frame_size_alone(width: int, height: int, mode: str, side: int) -> None:
    pytest.importorskip("transformers.models.minicpmv4_6")
    assume(max(width, height) <= 100 * min(width, height))
    video = transformers.MiniCPMV4_6VideoProcessor(downsample_mode=mode, scale_resolution=side)
    row = FAMILIES["minicpm_v"]
    w, h = frame_size(row, width, height, 64, limits=limits_of(WithVideo(video), row))
    assert video.find_best_resize((h, w), side, 14, allow_upscale=True, downsample_mode=mode) == (h, w)
    # less than the family's area is kept to
    w, h = frame_size(row, width, height, 64, 100_000, limits=limits_of(WithVideo(video), row))
    assert w * h <= 100_000 or min(w, h) == video.patch_size * (2 if mode == "4x" else 4)


@given(sides, sides, st.integers(1, 200))
@examples(100)
def test_kimi_s_processor_leaves_frame_size_alone(width: int, height: int, num_frames: int) -> None:
    module = pytest.importorskip("transformers.models.kimi_k25.video_processing_kimi_k25")
    assume(max(width, height) <= 50 * min(width, height))  # no side is longer than 512 patches then
    w, h = frame_size(FAMILIES["kimi_k25"], width, height, num_frames)
    assert module.navit_resize(h, w, 14, 2, 4096, 512) == ((h, w), (h, w))


@given(st.sampled_from(DYNAMIC), sides, sides, st.integers(1, 200))
@examples(300)
def test_aspect_ratio_is_kept_as_well_as_multiples_allow(family: str, width: int, height: int, num_frames: int) -> None:
    assume(max(width, height) <= 100 * min(width, height))
    row = FAMILIES[family]
    w, h = frame_size(row, width, height, num_frames)
    m = row.limits.multiple
    assert w % m == h % m == 0
    # one scale takes both sides to within one multiple of the result, unless a side is held at a single multiple
    if min(w, h) > m:
        assert max((w - m) / width, (h - m) / height) <= min((w + m) / width, (h + m) / height)


@given(st.integers(28, 4096), st.integers(28, 4096))
@examples(300)
def test_rule_is_qwens_own_where_that_one_is_stable(width: int, height: int) -> None:
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import smart_resize

    assume(max(width, height) <= 100 * min(width, height))
    area = {"min_pixels": 128 * 784, "max_pixels": 768 * 784}
    once = smart_resize(height, width, **area)
    assume(smart_resize(*once, **area) == once)
    assert frame_size(FAMILIES["qwen2_5_vl"], width, height, 64) == (once[1], once[0])


def test_sizes_of_common_videos() -> None:
    def sizes(family: str, num_frames: int = 64) -> list[tuple[int, int]]:
        return [frame_size(FAMILIES[family], *wh, num_frames) for wh in ((1280, 720), (640, 480), (480, 854))]

    assert sizes("qwen2_5_vl") == [(1008, 560), (644, 476), (476, 840)]
    # 25,165,824 pixels over 64 frames: 393,216 a frame
    assert sizes("qwen3_vl") == [(832, 448), (640, 480), (448, 832)]
    assert sizes("llava_onevision") == [(384, 384)] * 3
    assert sizes("llava_next_video") == [(336, 336)] * 3
    assert sizes("gemma4") == [(528, 288), (432, 336), (288, 528)]
    assert sizes("molmo2") == [(378, 378)] * 3
    assert sizes("internvl") == [(448, 448)] * 3
    assert sizes("video_llama_3") == [(588, 336), (504, 364), (308, 588)]
    assert sizes("minicpm_v") == [(616, 336), (504, 392), (336, 616)]
    assert sizes("perception_lm") == [(448, 448)] * 3
    assert sizes("kimi_k25") == [(1176, 672), (644, 476), (476, 840)]


def test_checkpoint_may_narrow_but_default_area_stays() -> None:
    row, _, limits = at_hand("qwen2_5_vl", True)
    assert limits.max_pixels == 12845056
    assert frame_size(row, 1280, 720, 64, limits=limits) == (1008, 560)
    # an explicit max_pixels goes beyond the default where the checkpoint allows it, and below
    assert frame_size(row, 1280, 720, 64, 1280 * 720, limits=limits) == (1260, 700)
    assert frame_size(row, 1280, 720, 64, 100_000, limits=limits) == (420, 224)
    narrow = replace(limits, max_pixels=16 * 784)
    assert frame_size(row, 1280, 720, 64, limits=narrow) == (140, 84)


def test_video_budget_lowers_frames_of_long_videos() -> None:
    row, _, limits = at_hand("qwen2_5_vl", True)
    few, many = (frame_size(row, 1280, 720, n, limits=limits) for n in (64, 768))
    assert few == (1008, 560)
    # 90% of 128,000 tokens of 28 x 28 pixels, two frames each
    assert many[0] * many[1] * 768 <= 0.9 * 128_000 * 784 * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("qwen2_5_vl", 0, 720, 64), "0x720"),
        (("qwen2_5_vl", 1280, 720, 0), "0 frames"),
        (("qwen2_5_vl", 2010, 10, 64), "aspect ratio"),
        (("qwen2_5_vl", 1280, 720, 64, 1000), "100352 to 1000"),
        (("qwen3_vl", 1280, 720, 64, 1000), "multiples of 32"),
        (("llava_onevision", 1280, 720, 64, 100_000), "384x384"),
    ],
)
def test_impossible_sizes_are_one_line(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        frame_size(FAMILIES[arguments[0]], *arguments[1:])
    assert "\n" not in str(caught.value)


def test_limits_of_real_processors() -> None:
    assert at_hand("qwen2_5_vl", False)[2] == FAMILIES["qwen2_5_vl"].limits
    others = ("video_llama_3", "minicpm_v", "kimi_k25")
    for family in ("qwen3_vl", "qwen3_5", "glm4v", "gemma4", *others, *FIXED):
        assert at_hand(family, True)[2] == FAMILIES[family].limits
    assert at_hand("llava_next_video", False)[2].fixed == (224, 224)
    cropped = transformers.LlavaNextVideoVideoProcessor(size={"shortest_edge": 256})
    assert limits_of(WithVideo(cropped), FAMILIES["llava_next_video"]).fixed == (224, 224)


@pytest.mark.parametrize(
    ("family", "processor", "words"),
    [
        ("qwen2_5_vl", object(), "no video processor"),
        ("qwen2_5_vl", WithVideo(transformers.LlavaOnevisionVideoProcessor()), "shortest_edge"),
        ("llava_onevision", WithVideo(transformers.LlavaOnevisionVideoProcessor(size={"longest_edge": 9})), "fixed"),
    ],
)
def test_limits_of_the_wrong_processor(family: str, processor: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        limits_of(processor, FAMILIES[family])


class WithBoth(WithVideo):
    """The same with an image processor."""

    def __init__(self, video_processor: Any, image_processor: Any) -> None:
        super().__init__(video_processor)
        self.image_processor = image_processor


def test_frames_that_are_images_are_processed_as_images() -> None:
    """The video processor of InternVL3.5 as published: transformers' defaults, which its vision tower never saw."""
    row = FAMILIES["internvl"]
    image = transformers.GotOcr2ImageProcessor(**PUBLISHED["internvl"])
    for wrong in ({}, {**PUBLISHED["internvl"], "image_std": [0.5, 0.5, 0.5]}):
        processor = WithBoth(transformers.InternVLVideoProcessor(**wrong), image)
        with pytest.raises(InputError, match=r"of the video processor is .*; internvl expects them equal") as caught:
            limits_of(processor, row)
        assert "\n" not in str(caught.value)
        align_frames_with_images(processor, row)
        assert limits_of(processor, row) == row.limits
        frames = np.random.default_rng(0).integers(0, 256, (1, 448, 448, 3), dtype=np.uint8)
        as_video = processor.video_processor([frames], return_tensors="pt")["pixel_values_videos"][0]
        as_image = image([frames[0]], return_tensors="pt", crop_to_patches=False)["pixel_values"]
        assert torch.equal(as_video, as_image)
    other = WithBoth(transformers.LlavaOnevisionVideoProcessor(), image)
    align_frames_with_images(other, FAMILIES["llava_onevision"])
    assert dict(other.video_processor.size) != dict(image.size)


def test_rows() -> None:
    known = transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    for name, family in FAMILIES.items():
        assert family.name == name
        assert guess_family(f"Some-Lab/{name}-7B") is family
        ways = (family.limits_by_size, family.limits_by_processor, family.limits.fixed)
        assert sum(way is not None for way in ways) == 1
        assert not family.elsewhere.keys() & known.keys()  # else the checkpoint's code is not its own
        for model_type in family.elsewhere:
            with pytest.raises(InputError, match=f"is of {name}, with code of its own"):
                family_of(model_type)
        newest = tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 24)
        for model_type in family.model_types:
            assert model_type in known or not newest
            assert family_of(model_type) is family
        size = (8, 8) if family.coordinates == "pixels" else None
        CoordinateFormat(family.coordinates, size)


def test_limits_come_back_from_run_json() -> None:
    for name, family in FAMILIES.items():
        limits = json.loads(json.dumps(asdict(family.limits)))
        conditions = {"cotasks": condition_settings(parse_condition("cotasks"))}
        settings_ = {"model": {"family": name}, "frames": {"limits": limits}, "conditions": conditions}
        assert conditions_of(settings_)["cotasks"][1:] == (family, family.limits)
        if not limits.pop("fill") and not limits.pop("nearest"):  # as versions before wrote them
            assert conditions_of(settings_)["cotasks"][2] == family.limits
        with pytest.raises(InputError, match="fill"):
            conditions_of({**settings_, "frames": {"limits": {**limits, "fill": 1}}})


def test_a_new_family_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up row is found by type and by name, gives sizes, prompts and limits; nothing else knows of it."""
    row = replace(FAMILIES["qwen2_vl"], name="fable", model_types=("fable_vl",), names=r"fable[-_]?vl?")
    monkeypatch.setitem(FAMILIES, "fable", row)
    assert family_of("fable_vl") is guess_family("Some-Lab/Fable-VL-2B") is row
    size = frame_size(row, 640, 480, num_frames=8)
    assert size == frame_size(FAMILIES["qwen2_vl"], 640, 480, num_frames=8)
    prompt = build_prompt(make_record("v", 1), parse_condition("cotasks"), row, size, (64, 48))
    assert prompt.context.count("dog") > 1
    with pytest.raises(InputError, match=r"known: .*fable_vl"):
        family_of("blip_2")


def test_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'blip_2'.*llava_onevision, .*qwen2_5_vl.*put a Family") as caught:
        family_of("blip_2")
    assert caught.value.reason == "unknown model family"


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, cotasks.models.families, cotasks.models.tensors, cotasks.models.tiny\n"
        "print([m for m in ('torch', 'transformers', 'decord', 'av') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
