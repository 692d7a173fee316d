"""Train a very small detector on the drawn world, for `cotasks annotate --detector FOLDER`.

    python examples/train_detector.py --out detector       # no GPU; about five minutes of one core

The detector is an RT-DETRv2 of transformers with under a million weights and random ones at first. It learns the
categories of `cotasks.sample.drawn` from frames that are drawn as it learns, with their true boxes; none is of a clip
that `cotasks.sample.drawn` writes with another seed. It knows that drawn world and nothing else. The same command
gives the same detector on the same machine.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import RTDetrImageProcessor, RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

from cotasks.sample.drawn import drawn_stories
from cotasks.sample.film import boxes, draw

SEED = 7
"""Of the clips that it learns from; tests and guides use others."""
CATEGORIES = (
    *("adult", "child", "dog", "cat", "rabbit", "duck"),
    *("ball/sports_ball", "cup", "suitcase", "toy"),
)
"""All that `cotasks.sample.drawn` draws."""
HEIGHT, WIDTH = 96, 128
"""Pixels that a frame is resized to: multiples of the coarsest stride."""
CLIPS = 1500
"""That it learns from, each shown several times at frames drawn at random."""
NOISE = 6.0
"""Standard deviation of the brightness, of 255, that is added: encoded video is not as clean as what is drawn."""


def build_model() -> RTDetrV2ForObjectDetection:
    """The detector before it has learned anything."""
    backbone = RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 64, 96],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3"],
    )
    return RTDetrV2ForObjectDetection(
        RTDetrV2Config(
            backbone_config=backbone,
            freeze_backbone_batch_norms=False,
            encoder_hidden_dim=64,
            encoder_in_channels=[32, 64],
            feat_strides=[8, 16],
            encode_proj_layers=[1],
            num_feature_levels=2,
            decoder_n_levels=2,
            encoder_ffn_dim=128,
            encoder_attention_heads=4,
            hidden_expansion=0.5,
            d_model=64,
            num_queries=12,
            decoder_in_channels=[64, 64],
            decoder_ffn_dim=128,
            decoder_layers=2,
            decoder_attention_heads=4,
            num_denoising=12,
            id2label=dict(enumerate(CATEGORIES)),
            label2id={name: n for n, name in enumerate(CATEGORIES)},
        )
    )


def processor() -> RTDetrImageProcessor:
    """Resizes frames, and rescales them to 0 to 1."""
    return RTDetrImageProcessor(size={"height": HEIGHT, "width": WIDTH}, do_normalize=False, do_pad=False)


class Frames(IterableDataset[tuple[np.ndarray, dict[str, Any]]]):
    """Frames of drawn clips with their boxes: center x, center y, width, height as shares of the frame."""

    def __init__(self, total: int) -> None:
        self.total = total

    def __iter__(self) -> Any:
        chance = np.random.default_rng(SEED)
        stories = drawn_stories(min(CLIPS, self.total), SEED, "train")
        for number in range(self.total):
            clip = stories[number % len(stories)].clip
            frame = int(chance.integers(clip.frames))
            image = draw(clip, frame) + chance.normal(0, NOISE, (clip.height, clip.width, 1))
            category = {actor.tid: CATEGORIES.index(actor.category) for actor in clip.actors}
            found = boxes(clip, frame)
            size = np.array([clip.width, clip.height] * 2)
            xyxy = np.array(list(found.values()), float).reshape(-1, 4) / size
            corners, sides = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
            yield (
                np.clip(image, 0, 255).astype(np.uint8),
                {
                    "class_labels": torch.tensor([category[tid] for tid in found]),
                    "boxes": torch.tensor(np.hstack([corners, sides]), dtype=torch.float32),
                },
            )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a very small detector on the drawn world.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=1200, help="batches (default: 1200)")
    parser.add_argument("--batch-size", type=int, default=16, help="frames a batch (default: 16)")
    args = parser.parse_args()
    random.seed(SEED)
    torch.manual_seed(SEED)
    model, prepare = build_model(), processor()
    print(f"{sum(weight.numel() for weight in model.parameters()):,} weights")

    def collate(rows: list[tuple[np.ndarray, dict[str, Any]]]) -> tuple[torch.Tensor, list[dict[str, Any]]]:
        pixels = prepare(images=[image for image, _ in rows], return_tensors="pt")["pixel_values"]
        return pixels, [labels for _, labels in rows]

    data = DataLoader(Frames(args.steps * args.batch_size), args.batch_size, collate_fn=collate)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=args.steps, pct_start=0.1)
    began, loss_sum = time.monotonic(), 0.0
    model.train()
    for step, (pixels, labels) in enumerate(data, 1):
        loss = model(pixel_values=pixels, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        loss_sum += loss.item()
        if step % 100 == 0:
            print(f"step {step}: loss {loss_sum / 100:.3f}, {time.monotonic() - began:.0f} s", flush=True)
            loss_sum = 0.0
    model.eval().save_pretrained(args.out)
    prepare.save_pretrained(args.out)
    print(f"Detector {args.out}")


if __name__ == "__main__":
    main()
