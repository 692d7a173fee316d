"""Detectors of transformers: those that are told words, and those with labels of their own.

    told words   Grounding DINO, MM Grounding DINO, OWL-ViT, OWLv2, OmDet-Turbo: AutoModelForZeroShotObjectDetection
    own labels   RT-DETR, RT-DETRv2, D-FINE, DETR, RF-DETR, YOLOS, ...: AutoModelForObjectDetection

A checkpoint's configuration says which it is. Boxes of one category that overlap by NMS_IOU are one thing, and so are
boxes of any two that overlap by SAME_IOU; the surer one stays (`supervision.Detections.with_nms`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cotasks.annotate.words import matched
from cotasks.errors import InputError, MissingExtra, shorten
from cotasks.generate.local.ask import is_out_of_memory
from cotasks.models.load import Loading, device_of, first_line
from cotasks.video.packets import Image

DETECTOR = "IDEA-Research/grounding-dino-tiny"
"""By default."""
NMS_IOU = 0.7
"""Of two boxes of one category that overlap by more, the surer one is kept."""
SAME_IOU = 0.9
"""So of two boxes of whatever category."""
LONGEST_PROMPT = 256
"""Tokens of all words together that a Grounding DINO takes; more words are asked for in several passes."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What was found on one frame."""

    xyxy: Floats
    """(n, 4) x1, y1, x2, y2 in pixels of the frame, continuous edges, inside it."""
    scores: Floats
    """(n,) 0 to 1."""
    categories: tuple[str, ...]
    """(n,)"""
    nearness: Floats | None = None
    """(n,) how near each is, greater is nearer; see `cotasks.annotate.depth`. None where no depth is known."""


NONE_FOUND = Found(np.zeros((0, 4)), np.zeros(0), ())


def found(
    xyxy: npt.ArrayLike, scores: npt.ArrayLike, categories: Sequence[str], size: tuple[int, int], least: float
) -> Found:
    """Boxes as a detector gives them -> those of a score of `least` or more, inside a frame of (width, height), each
    thing once, the surest first."""
    import supervision

    boxes = np.array(xyxy, np.float64).reshape(-1, 4)
    boxes = np.clip(boxes, 0.0, np.array([*size, *size], np.float64))
    sure = np.array(scores, np.float64).reshape(-1)
    flat = (boxes[:, 2] - boxes[:, 0] < 1) | (boxes[:, 3] - boxes[:, 1] < 1)
    keep = np.flatnonzero((sure >= least) & ~flat & np.isfinite(boxes).all(1))
    keep = keep[np.argsort(-sure[keep], kind="stable")]
    if not len(keep):
        return NONE_FOUND
    names = np.array([categories[int(place)] for place in keep])
    _, numbers = np.unique(names, return_inverse=True)
    rows = supervision.Detections(boxes[keep], confidence=sure[keep], class_id=numbers, data={"name": names})
    rows = rows.with_nms(NMS_IOU).with_nms(SAME_IOU, class_agnostic=True)
    order = np.argsort(-np.asarray(rows.confidence), kind="stable")
    return Found(
        np.asarray(rows.xyxy, np.float64)[order],
        np.minimum(np.asarray(rows.confidence, np.float64)[order], 1.0),
        tuple(str(name) for name in np.asarray(rows.data["name"])[order]),
    )


@dataclass
class Detector:
    """A detector ready to look."""

    model: Any
    processor: Any
    takes_words: bool
    labels: tuple[str, ...]
    """Its own; empty where it takes words."""
    least: float
    """Least score of a box that is kept."""
    settings: dict[str, Any]
    """What is kept with the boxes: checkpoint, kind, type, revision."""
    batch_size: int = 16
    """Most frames at once; lowered for good where the device's memory does not hold them."""
    _prompts: dict[tuple[str, ...], list[list[str]]] = field(default_factory=dict)

    def words_of(self, words: Sequence[str]) -> tuple[str, ...]:
        """What is looked for, of the words of a video: these, or with labels of its own those that a word names, and
        all of them where there is no word.

        Raises InputError for words that the tokenizer cannot hold.
        """
        if self.takes_words:
            self.passes(words)
            return tuple(words)
        return matched(words, self.labels) if words else self.labels

    def passes(self, words: Sequence[str]) -> list[list[str]]:
        """The words in lists that one prompt holds. Raises InputError for one that the tokenizer cannot hold."""
        key = tuple(words)
        if key not in self._prompts:
            self._prompts[key] = self._split(words)
        return self._prompts[key]

    def _split(self, words: Sequence[str]) -> list[list[str]]:
        tokenizer = self.processor.tokenizer
        one_prompt = "grounding" in self.model.config.model_type
        text = getattr(self.model.config, "text_config", None)
        longest = min(getattr(text, "max_position_embeddings", LONGEST_PROMPT), LONGEST_PROMPT)
        lists: list[list[str]] = []
        room = 0
        for word in words:
            tokens = tokenizer(word, add_special_tokens=False, verbose=False)["input_ids"]
            if not tokens or (tokenizer.unk_token_id is not None and tokenizer.unk_token_id in tokens):
                raise InputError(f"word {word!r}: the tokenizer of the detector does not know it; expected another")
            if len(tokens) + 3 > longest:
                raise InputError(
                    f"word {shorten(word)}: {len(tokens)} tokens; expected at most {longest - 3}, which the detector "
                    "takes"
                )
            cost = len(tokens) + 1  # and the mark that parts it from the next
            if not lists or (one_prompt and cost > room):
                lists.append([])
                room = longest - 2
            lists[-1].append(word)
            room -= cost
        return lists

    def detect(self, frames: Image, words: Sequence[str]) -> list[Found]:
        """What is on each of some frames (frames, height, width, 3) of one size; `words` as of `words_of`.

        A batch that runs out of memory is halved, and the batches after it. Raises InputError where one frame alone
        does not fit, or the detector fails.
        """
        results: list[Found] = []
        while len(results) < len(frames):
            batch = frames[len(results) : len(results) + self.batch_size]
            try:
                results += self._batch(batch, words)
                continue
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                if not is_out_of_memory(error):
                    raise InputError(f"detector: {first_line(error)}", "the detector failed") from error
            if self.batch_size == 1:
                raise InputError("detector: no memory for a frame on this device", "out of memory")
            self.batch_size //= 2
        return results

    def _batch(self, frames: Image, words: Sequence[str]) -> list[Found]:
        import torch

        height, width = frames.shape[1:3]
        if not words:
            return [NONE_FOUND] * len(frames)
        boxes: list[list[Any]] = [[] for _ in frames]
        with torch.inference_mode():
            for part in self.passes(words) if self.takes_words else [list(words)]:
                for place, rows in enumerate(self._results(frames, part, (height, width))):
                    boxes[place] += rows
        return [
            found(
                [b for b, _, _ in rows], [s for _, s, _ in rows], [n for _, _, n in rows], (width, height), self.least
            )
            for rows in boxes
        ]

    def _results(
        self, frames: Image, words: list[str], size: tuple[int, int]
    ) -> Iterator[list[tuple[Any, float, str]]]:
        """(box, score, category) of each frame's boxes."""
        images, sizes = list(frames), [size] * len(frames)
        if not self.takes_words:
            inputs = self.processor(images=images, return_tensors="pt").to(self.model.device, self.model.dtype)
            output = self.processor.post_process_object_detection(
                self.model(**inputs), threshold=self.least, target_sizes=sizes
            )
            wanted = set(words)
            for row in output:
                names = [self.labels[label] for label in row["labels"].tolist()]
                rows = zip(row["boxes"].tolist(), row["scores"].tolist(), names, strict=True)
                yield [one for one in rows if one[2] in wanted]
            return
        texts = [words] * len(images)
        inputs = self.processor(images=images, text=texts, return_tensors="pt", padding=True)
        inputs = inputs.to(self.model.device, self.model.dtype)
        told: dict[str, Any] = {"threshold": self.least, "target_sizes": sizes, "text_labels": texts}
        if "grounding" in self.model.config.model_type:
            told |= {"text_threshold": self.least, "input_ids": inputs["input_ids"]}
        output = self.processor.post_process_grounded_object_detection(self.model(**inputs), **told)
        for row in output:
            names = [word_of(str(text), words) for text in row["text_labels"]]
            rows = zip(row["boxes"].tolist(), row["scores"].tolist(), names, strict=True)
            yield [(box, score, name) for box, score, name in rows if name is not None]


def word_of(phrase: str, words: Sequence[str]) -> str | None:
    """Which of the words a detector means: a Grounding DINO gives the pieces of its prompt that fit a box, which may
    lack some of a word's, or hold those of two. The word that shares the most of its own with it, the first of several;
    None where none does."""
    said = set(phrase.lower().split())
    if phrase in words:
        return phrase
    shares = [len(said & set(word.lower().split())) / len(word.split()) for word in words]
    best = max(range(len(words)), key=lambda place: shares[place])
    return words[best] if shares[best] > 0 else None


def load_detector(name: str, least: float, loading: Loading, batch_size: int = 16) -> Detector:
    """Load a folder or Hub id as a detector.

    Args:
        name: what `from_pretrained` takes.
        least: least score of a box that is kept.
        loading: dtype and device; see `cotasks.models.load`.
        batch_size: most frames at once.

    Raises InputError where there is none, it cannot be loaded, or it is no detector; MissingExtra where torch or
    transformers is missing.
    """
    try:
        import torch
        import transformers
        from transformers.models.auto import modeling_auto
    except ImportError as error:
        raise MissingExtra(str(error.name), "models") from None
    options: dict[str, Any] = {"trust_remote_code": loading.trust_remote_code}
    with faults_of(name):
        config = transformers.AutoConfig.from_pretrained(name, **options)
    kind = config.model_type
    takes_words = kind in modeling_auto.MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES
    if not takes_words and kind not in modeling_auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES:
        raise InputError(
            f"detector {name}: a {kind}, which is no detector; expected a Grounding DINO, OWLv2, RT-DETRv2, D-FINE or "
            "another of transformers"
        )
    where = device_of(name, loading)
    dtype = torch.float32 if loading.dtype == "auto" else getattr(torch, loading.dtype)
    kinds = ("AutoModelForZeroShotObjectDetection", "AutoProcessor")
    classes = kinds if takes_words else ("AutoModelForObjectDetection", "AutoImageProcessor")
    with faults_of(name):
        model = getattr(transformers, classes[0]).from_pretrained(name, dtype=dtype, **options)
        processor = getattr(transformers, classes[1]).from_pretrained(name, **options)
    labels = () if takes_words else tuple(str(config.id2label[n]) for n in range(len(config.id2label)))
    settings = {
        "model": name,
        "model_type": kind,
        "takes": "words" if takes_words else "its own labels",
        "revision": getattr(config, "_commit_hash", None),
        "dtype": str(dtype).removeprefix("torch."),
    }
    return Detector(model.to(where).eval(), processor, takes_words, labels, least, settings, batch_size)


@contextmanager
def faults_of(name: str) -> Iterator[None]:
    """Turns what transformers raises where a detector or a depth model cannot be loaded into InputError."""
    import safetensors

    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"detector {name}: cannot be loaded: {first_line(error)}") from None
