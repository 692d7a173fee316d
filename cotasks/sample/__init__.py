"""The embedded sample: a small drawn world in the file formats of NExT-QA, VidOR, NExT-GQA and STAR.

`data/` is the output of ``python -m cotasks.sample.world cotasks/sample/data``; it is read by the same
readers as the real files. Importing this package costs nothing: the modules that draw need numpy, the
one that encodes needs PyAV, and neither is imported here.
"""

from __future__ import annotations

import os

DATA_DIR: str = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
"""Absolute path of the folder with the sample's annotation and videos."""

TOY_DIR: str = os.path.join(os.path.dirname(DATA_DIR), "toy")
"""Absolute path of the folder with the toy model, a very small Qwen2.5-VL that `examples/train_toy.py` trained on clips
of `cotasks.sample.drawn`. It knows that drawn world only."""
