"""How near things are, by a depth model of transformers (`AutoModelForDepthEstimation`).

A thing's nearness on a frame is the median over the middle half of its box, as a share of the frame's range: 0 is the
farthest of the frame but for its outermost hundredth, 1 the nearest. It says which of two is nearer, not by how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cotasks.annotate.detect import Found, faults_of
from cotasks.errors import InputError, MissingExtra
from cotasks.models.load import Loading, device_of, first_line
from cotasks.video.packets import Image

GREATER_IS_NEARER = {
    "depth_anything": True,
    "prompt_depth_anything": False,
    "dpt": True,
    "zoedepth": False,
    "glpn": False,
    "depth_pro": False,
}
"""`model_type` -> whether its relative depth is inverse (MiDaS and Depth Anything), or a distance."""
OUTERMOST = 1.0
"""Per cent of a frame's depths at either end that its range leaves out."""


@dataclass
class DepthModel:
    """A depth model ready to look."""

    model: Any
    processor: Any
    greater_is_nearer: bool
    settings: dict[str, Any]

    def nearness(self, frame: Image, found: Found) -> Found:
        """What was found on a frame (height, width, 3), with how near each is. Raises InputError where it fails."""
        if not len(found.scores):
            return found
        depth = self._depth(frame)
        low, high = np.percentile(depth, [OUTERMOST, 100 - OUTERMOST])
        near = [_middle(depth, box) for box in found.xyxy]
        shares = (np.array(near) - low) / max(high - low, 1e-9)
        shares = shares if self.greater_is_nearer else 1 - shares
        return Found(found.xyxy, found.scores, found.categories, np.clip(shares, 0.0, 1.0))

    def _depth(self, frame: Image) -> npt.NDArray[np.float64]:
        import torch

        try:
            with torch.inference_mode():
                inputs = self.processor(images=[frame], return_tensors="pt").to(self.model.device, self.model.dtype)
                output = self.model(**inputs)
                rows = self.processor.post_process_depth_estimation(output, target_sizes=[frame.shape[:2]])
        except (RuntimeError, ValueError) as error:
            raise InputError(f"depth model: {first_line(error)}", "the depth model failed") from error
        return np.asarray(rows[0]["predicted_depth"].float().cpu(), np.float64)


def _middle(depth: npt.NDArray[np.float64], box: npt.NDArray[np.float64]) -> float:
    """The median over the middle half of a box."""
    x1, y1, x2, y2 = box
    across, down = (x2 - x1) / 4, (y2 - y1) / 4
    rows = slice(int(y1 + down), max(int(y2 - down), int(y1 + down) + 1))
    columns = slice(int(x1 + across), max(int(x2 - across), int(x1 + across) + 1))
    return float(np.median(depth[rows, columns]))


def load_depth(name: str, loading: Loading) -> DepthModel:
    """Load a folder or Hub id as a depth model.

    Raises InputError where there is none, or it is of a type whose depths this module cannot tell near from far in;
    MissingExtra where torch or transformers is missing.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "models") from None
    options: dict[str, Any] = {"trust_remote_code": loading.trust_remote_code}
    with faults_of(name):
        config = transformers.AutoConfig.from_pretrained(name, **options)
    if config.model_type not in GREATER_IS_NEARER:
        known = ", ".join(GREATER_IS_NEARER)
        raise InputError(f"depth {name}: a {config.model_type}; expected a depth model of a known type: {known}")
    metric = getattr(config, "depth_estimation_type", "relative") == "metric"
    dtype = torch.float32 if loading.dtype == "auto" else getattr(torch, loading.dtype)
    with faults_of(name):
        model = transformers.AutoModelForDepthEstimation.from_pretrained(name, dtype=dtype, **options)
        processor = transformers.AutoImageProcessor.from_pretrained(name, **options)
    return DepthModel(
        model.to(device_of(name, loading)).eval(),
        processor,
        GREATER_IS_NEARER[config.model_type] and not metric,
        {"model": name, "model_type": config.model_type, "revision": getattr(config, "_commit_hash", None)},
    )
