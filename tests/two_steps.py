"""Two steps of another trainer on an exported sample, run by the Python of that trainer's environment:

    PYTHON tests/two_steps.py ms-swift|llama-factory MODEL DATA OUT

OUT/seen.json says what came to the model: the grid of each video that its vision tower was given, by step, the loss of
each step, and the versions of what ran. It imports nothing of ours, as those environments hold nothing of ours.
"""

from __future__ import annotations

import functools
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

STEPS = 2


def ms_swift(model: str, data: str, out: Path) -> None:
    """`swift sft` as its command line starts it. `data` is the file that `write_ms_swift` wrote."""
    from swift.pipelines import sft_main
    from swift.template.templates.qwen import Qwen2VLTemplate
    from transformers import AutoTokenizer

    # ms-swift writes these numbers down, those of the published vocabulary; a tiny model has another
    tokenizer = AutoTokenizer.from_pretrained(model)
    Qwen2VLTemplate.image_token_id, Qwen2VLTemplate.video_token_id = tokenizer.convert_tokens_to_ids(
        ["<|image_pad|>", "<|video_pad|>"]
    )
    options = {
        "model": model,
        "model_type": "qwen2_5_vl",
        "template": "qwen2_5_vl",
        "dataset": data,
        "torch_dtype": "float32",
        "max_steps": STEPS,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "logging_steps": 1,
        "save_strategy": "no",
        "dataset_num_proc": 1,
        "dataloader_num_workers": 0,
        "gradient_checkpointing": "false",
        "load_from_cache_file": "false",
        "report_to": "none",
        "output_dir": str(out / "swift"),
    }
    sft_main([word for name, value in options.items() for word in (f"--{name}", str(value))])


def llama_factory(model: str, data: str, out: Path) -> None:
    """`llamafactory-cli train`. `data` is the folder that `write_llama_factory` wrote, its data set `cotasks`."""
    from llamafactory.train.tuner import run_exp

    run_exp(
        {
            "model_name_or_path": model,
            "template": "qwen2_vl",
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "dataset_dir": data,
            "dataset": "cotasks",
            "cutoff_len": 8192,
            "video_max_pixels": 602112,
            "max_steps": STEPS,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "logging_steps": 1,
            "save_strategy": "no",
            "disable_gradient_checkpointing": True,
            "report_to": "none",
            "output_dir": str(out / "llama_factory"),
        }
    )


TRAINERS = {"ms-swift": (ms_swift, "ms-swift"), "llama-factory": (llama_factory, "llamafactory")}
"""Name -> (what runs it, its package)."""


def main() -> None:
    """Run one of them and write what was seen."""
    trainer, model, data, out = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
    run, package = TRAINERS[trainer]
    from transformers import Trainer, TrainerCallback
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as modeling

    grids: list[Any] = []
    losses: list[float] = []
    tower = modeling.Qwen2_5_VisionTransformerPretrainedModel
    forward = tower.forward

    def watched(self: Any, hidden_states: Any, grid_thw: Any, **more: Any) -> Any:
        grids.append(grid_thw.tolist())
        return forward(self, hidden_states, grid_thw, **more)

    class Losses(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            losses.extend([float(logs["loss"])] if "loss" in (logs or {}) else [])

    tower.forward = watched
    init = Trainer.__init__

    @functools.wraps(init)  # ms-swift looks at its arguments
    def with_losses(self: Any, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        self.add_callback(Losses())

    Trainer.__init__ = with_losses
    run(model, data, out)
    versions = {name: version(name) for name in (package, "transformers", "qwen-vl-utils", "torch")}
    (out / "seen.json").write_text(json.dumps({"grids": grids, "losses": losses, "versions": versions}))


if __name__ == "__main__":
    main()
