"""One row a family of models. To add a family, add a row: all else about it is read off the checkpoint.

Each row says where its facts are from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cotasks.models.family import Family, Limits, Thinking

SERVED = "ask it with --backend server, of vLLM as `vllm serve MODEL --trust-remote-code`"
"""How a checkpoint is used that transformers has no class for."""


def _qwen2_limits(patch: int, merge: int, temporal_patch: int, least: int, greatest: int, tokens: int) -> Limits:
    """Limits of Qwen2VLVideoProcessor: `size` bounds a frame, 90% of `max_video_tokens` the whole video.

    Args:
        patch: side of a patch, in pixels.
        merge: patches merged into one token, along each side.
        temporal_patch: frames in a patch.
        least: `shortest_edge` of the processor's `size`, in pixels of area.
        greatest: `longest_edge` of it, in pixels of area.
        tokens: `max_video_tokens` of the processor.
    """
    multiple = patch * merge
    return Limits(
        multiple=multiple,
        temporal_patch=temporal_patch,
        min_pixels=least,
        max_pixels=greatest,
        max_video_pixels=int(tokens * multiple**2 * 0.9) * temporal_patch,
    )


def _qwen3_limits(patch: int, merge: int, temporal_patch: int, least: int, greatest: int, tokens: int) -> Limits:
    """Limits of Qwen3VLVideoProcessor: `size` bounds the whole video, `max_video_tokens` a frame."""
    multiple = patch * merge
    return Limits(
        multiple=multiple,
        temporal_patch=temporal_patch,
        min_pixels=multiple**2,
        max_pixels=tokens * multiple**2,
        min_video_pixels=least,
        max_video_pixels=greatest,
    )


def _glm4v_limits(patch: int, merge: int, temporal_patch: int, least: int, greatest: int, tokens: int) -> Limits:
    """Limits of Glm4vVideoProcessor and Glm46VVideoProcessor: `size` bounds the whole video, nothing else a frame."""
    return replace(
        _qwen3_limits(patch, merge, temporal_patch, least, greatest, tokens), max_pixels=greatest // temporal_patch
    )


def _gemma4_limits(video: Any) -> Limits:
    """Limits of Gemma4VideoProcessor: as many patches as `max_soft_tokens` of `pooling_kernel_size` squared."""
    multiple = video.patch_size * video.pooling_kernel_size
    greatest = video.max_soft_tokens * multiple**2
    return Limits(multiple=multiple, min_pixels=multiple**2, max_pixels=greatest, fill=True)


def _video_llama_3_limits(
    patch: int, merge: int, temporal_patch: int, least: int, greatest: int, tokens: int
) -> Limits:
    """Limits of VideoLlama3VideoProcessor: the least of `size` bounds a frame, the greatest the whole video."""
    return Limits(
        multiple=patch * merge,
        temporal_patch=temporal_patch,
        min_pixels=least,
        max_pixels=greatest,
        max_video_pixels=greatest,
    )


def _minicpm_v_limits(video: Any) -> Limits:
    """Limits of MiniCPMV4_6VideoProcessor without slices: a frame has about the area of `scale_resolution` squared, in
    patches that are merged by 2 x 2, and where `downsample_mode` is 16x, by 2 x 2 again."""
    multiple = video.patch_size * (2 if video.downsample_mode == "4x" else 4)
    return Limits(multiple=multiple, min_pixels=multiple**2, max_pixels=video.scale_resolution**2, nearest=True)


def _kimi_k25_limits(video: Any) -> Limits:
    """Limits of Kimi_K25VideoProcessor: at most `max_patches` a frame; no video is too long."""
    multiple = video.patch_size * video.merge_size
    greatest = video.max_patches * video.patch_size**2
    return Limits(
        multiple=multiple, temporal_patch=video.temporal_patch_size, min_pixels=multiple**2, max_pixels=greatest
    )


# Defaults of transformers' Qwen2VLVideoProcessor, equal to those of qwen-vl-utils: 128 to 768 tokens a frame.
_QWEN2 = _qwen2_limits(14, 2, 2, least=128 * 28 * 28, greatest=768 * 28 * 28, tokens=128_000)
# video_preprocessor_config.json of the published Qwen3-VL checkpoints; the class default (786,432 pixels for a whole
# video) would leave 128 x 96 pixels a frame at 64 frames.
_QWEN3 = _qwen3_limits(16, 2, 2, least=4096, greatest=25_165_824, tokens=768)

# Glm4vVideoProcessor by default: 30,000 tokens a video.
_GLM4V = _glm4v_limits(14, 2, 2, least=112 * 112, greatest=28 * 28 * 2 * 30_000, tokens=0)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="qwen2_5_vl",
            model_types=("qwen2_5_vl",),
            names=r"qwen2[._]5[-_]?vl",
            coordinates="pixels",
            frame_reference="seconds",
            limits=_QWEN2,
            limits_by_size=_qwen2_limits,
            max_video_tokens=128_000,
            text_follows_frame=True,
        ),
        Family(
            name="qwen2_vl",
            model_types=("qwen2_vl",),
            names=r"qwen2[-_]?vl",
            coordinates="thousandths",
            frame_reference="position",
            limits=_QWEN2,
            limits_by_size=_qwen2_limits,
            max_video_tokens=128_000,
            text_follows_frame=True,
        ),
        Family(
            name="qwen3_vl",
            model_types=("qwen3_vl", "qwen3_vl_moe"),
            names=r"qwen3[-_]?vl",
            coordinates="thousandths",
            frame_reference="seconds",
            limits=_QWEN3,
            limits_by_size=_qwen3_limits,
            max_video_tokens=768,
            image_min_pixels=65_536,
            thinking=Thinking(),  # of Qwen3-VL Thinking, whose template opens a thought and has no switch
        ),
        # Qwen3.5 and Qwen3.6, dense and mixture of experts. Processor, limits and coordinates are Qwen3-VL's: the
        # checkpoints hold Qwen3VLProcessor and the same video_preprocessor_config.json. Three layers of four have
        # linear attention: their state runs through the padding between a prompt's beginning and its rest.
        Family(
            name="qwen3_5",
            model_types=("qwen3_5", "qwen3_5_moe"),
            names=r"qwen3[._][56]",
            coordinates="thousandths",
            frame_reference="seconds",
            limits=_QWEN3,
            limits_by_size=_qwen3_limits,
            max_video_tokens=768,
            image_min_pixels=65_536,
            prefix_reuse=False,
            thinking=Thinking(),
        ),
        # GLM-4.1V, GLM-4.5V and GLM-4.6V. Coordinates: "relative coordinates ... (range 0-1000)", the grounding skill
        # in zai-org/GLM-skills. The time of each patch stands behind it: whole seconds, in GLM-4.6V tenths.
        # GLM-4.1V-Thinking cannot be kept from thinking; GLM-4.5V and later take `enable_thinking`.
        Family(
            name="glm4v",
            model_types=("glm4v", "glm4v_moe", "glm46v"),
            names=r"glm[-_]?4[._]?\d?v",
            coordinates="thousandths",
            frame_reference="seconds",
            limits=_GLM4V,
            limits_by_size=_glm4v_limits,
            frame_token="<|image|>",
            own_grounding="[x1, y1, x2, y2] from 0 to 1000 between <|begin_of_box|> and <|end_of_box|>",
            thinking=Thinking(by_itself=True),
        ),
        # Gemma 4. A frame has at most 70 tokens of 48 x 48 pixels, the default of Gemma4VideoProcessor, and "mm:ss"
        # before it. Boxes: on 1000 x 1000, "Welcome Gemma 4" on Hugging Face's blog; y first, as in Google's guide to
        # box_2d. Some layers have a sliding window, or keys and values of others: a prompt's beginning is not kept.
        # Thinking: ai.google.dev/gemma/docs/core/prompt-formatting-gemma4.
        Family(
            name="gemma4",
            model_types=("gemma4",),
            names=r"gemma[-_]?4",
            coordinates="thousandths",
            frame_reference="seconds",
            limits=Limits(multiple=48, min_pixels=48 * 48, max_pixels=70 * 48 * 48, fill=True),
            limits_by_processor=_gemma4_limits,
            prefix_reuse=False,
            thinking=Thinking(opens="<|channel>thought", closes="<channel|>"),
            own_grounding='{"box_2d": [y1, x1, y2, x2]} from 0 to 1000',
        ),
        # Molmo 2. Frames of 378 x 378, the whole picture squeezed (Molmo2VideoProcessor), and the time of each before
        # it, in tenths of a second. Points: the model cards of allenai/Molmo2-8B and 4B; it writes no boxes of its own.
        # All tokens of frames see one another, the one behind the last patch too: a prompt's beginning is not kept.
        Family(
            name="molmo2",
            model_types=("molmo2",),
            names=r"molmo[-_]?2",
            coordinates="thousandths",
            frame_reference="seconds",
            limits=Limits(fixed=(378, 378)),
            frame_token="<im_patch>",
            counts_patches=("video_token_pooling",),
            prefix_reuse=False,
            own_grounding='<points coords="SECONDS NUMBER X Y ...">, x and y from 0 to 1000',
        ),
        # VideoLLaMA 3 in transformers' format. 16,384 tokens a video, 16 or more a frame: the published checkpoints'
        # `max_tokens` and `min_tokens`; the class's own default is 768 a video. "Time 1.5s:" stands before each frame.
        # Tokens that hardly differ from those of the frame before are left out. Boxes: [[x0, y0, x1, y1]] on 1000 x
        # 1000, inference/notebooks/03_visual_referring_and_grounding.ipynb in DAMO-NLP-SG/VideoLLaMA3.
        Family(
            name="video_llama_3",
            model_types=("video_llama_3",),
            names=r"video[-_]?llama[-_]?3",
            coordinates="thousandths",
            frame_reference="seconds",
            limits=_video_llama_3_limits(14, 2, 1, least=16 * 28 * 28, greatest=16_384 * 28 * 28, tokens=0),
            limits_by_size=_video_llama_3_limits,
            kept_tokens="video_compression_mask",
            own_grounding="[[x1, y1, x2, y2]] from 0 to 1000",
            elsewhere={"videollama3_qwen2": "take its checkpoint in transformers' format, VideoLLaMA3-...-HF"},
        ),
        # MiniCPM-V 4.6 and 4.7. Frames of about 448 x 448 without slices, unnumbered and not stacked: "Recommended" for
        # video in README.md of OpenBMB/MiniCPM-V. Nothing tells the model when a frame was. Boxes: on 1000 x 1000, in
        # <box>x1 y1 x2 y2</box>, its authors in issue 982 there, of 4.5. The language model is Qwen3.5's.
        Family(
            name="minicpm_v",
            model_types=("minicpmv4_6", "minicpmv4_7"),
            names=r"minicpm[-_]?v",
            coordinates="thousandths",
            frame_reference="position",
            limits=Limits(multiple=56, min_pixels=56 * 56, max_pixels=448 * 448, nearest=True),
            limits_by_processor=_minicpm_v_limits,
            in_one_row=("pixel_values_videos",),
            processor_options={"use_image_id": False, "max_slice_nums": 1, "stack_frames": 1},
            prefix_reuse=False,
            thinking=Thinking(),
            own_grounding="<ref>NAME</ref><box>x1 y1 x2 y2</box> from 0 to 1000",
            elsewhere={"minicpmv": SERVED, "minicpmo": SERVED},
        ),
        # PerceptionLM. Frames of 448 x 448, squeezed; nothing tells the model when a frame was, and moments are asked
        # for by numbers of frames (RTLoc of PLM-VideoBench). Boxes: [x1,y1,x2,y2] from 000 to 999,
        # core/transforms/region_transform.py in facebookresearch/perception_models.
        Family(
            name="perception_lm",
            model_types=("perception_lm",),
            names=r"perception[-_]?lm",
            coordinates="thousandths",
            frame_reference="position",
            limits=Limits(fixed=(448, 448)),
            needs="timm",
            own_grounding="[x1,y1,x2,y2] from 000 to 999, three digits each",
        ),
        # Kimi K2.5 and later. Four frames make one patch, which is their mean, with "00:00:01.500" before it, the time
        # of the first. Its publisher names no form for boxes; points on a screen are fractions of its sides, in
        # mm_agents/kimi of xlang-ai/OSWorld and in the model card of Kimi-VL.
        Family(
            name="kimi_k25",
            model_types=("kimi_k25",),
            names=r"kimi[-_]?(k2[._]?[5-9]|vl)",
            coordinates="fractions",
            frame_reference="seconds",
            limits=Limits(multiple=28, temporal_patch=4, min_pixels=28 * 28, max_pixels=4096 * 14 * 14),
            limits_by_processor=_kimi_k25_limits,
            thinking=Thinking(switch="thinking"),
            elsewhere={"kimi_vl": SERVED},
        ),
        # Also LLaVA-Video, converted by examples/convert_llava_video.py. SigLIP at 384 x 384. Frames by position, as
        # nothing tells the model when a frame was.
        Family(
            name="llava_onevision",
            model_types=("llava_onevision",),
            names=r"llava[-_]?onevision",
            coordinates="fractions",
            frame_reference="position",
            limits=Limits(fixed=(384, 384)),
            newlines_by_config=True,
            elsewhere={"llava_qwen": "convert it by examples/convert_llava_video.py, see examples/llava_video.md"},
        ),
        # CLIP at 336 x 336; the processor would crop the middle square, we keep the whole frame instead.
        Family(
            name="llava_next_video",
            model_types=("llava_next_video",),
            names=r"llava[-_]?next[-_]?video",
            coordinates="fractions",
            frame_reference="position",
            limits=Limits(fixed=(336, 336)),
        ),
        # InternVL3, InternVL3.5 and InternVL2.5 in transformers' format. A frame is one tile of 448 x 448, without
        # thumbnail, and the processor writes "Frame1: " before it. Boxes as in InternVL's evaluate_grounding.py.
        Family(
            name="internvl",
            model_types=("internvl",),
            names=r"internvl",
            coordinates="thousandths",
            frame_reference="position",
            limits=Limits(fixed=(448, 448)),
            frames_are_images=True,
            elsewhere={"internvl_chat": "take its checkpoint in transformers' format, InternVL...-HF"},
        ),
    )
}
"""Family name -> row."""
