"""Answers a processor-second, against lmms-eval's class of Qwen2.5-VL: the same videos, frames, prompts and weights.

    python tests/benchmarks/against_lmms_eval.py [--videos 5] [--rounds 1] [--batch-size 1]

8.8 questions a video under two conditions, 64 frames of 640x360 out of videos of 44 s (about those of NExT-QA), answers
of 32 tokens, by the tiny model in float32 on one thread of a CPU. lmms-eval is asked through `generate_until` of the
class that its registry gives for `qwen2_5_vl`, as its evaluator asks it, and is handed the texts of our prompts and the
paths of the videos; it picks the same frames, and the script sees to it that its prompts are ours, token by token. In
each round lmms-eval, `generate` and `generate` that works nothing out once a video take their turns, loading left out.
Prints how many answers are alike (other libraries resize the frames, and a random model makes much of a little), and
the ratios of processor time, which are to be at least 10.2 and 6.8. Ends with exit code 1 where they are not.

lmms-eval is no requirement of ours, and its requirements differ. An environment for this script:

    python -m venv lmms
    lmms/bin/pip install -e '.[models,decord]' qwen-vl-utils loguru evaluate pytz
    lmms/bin/pip install --no-deps lmms-eval
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import datasets  # noqa: E402
import torch  # noqa: E402

from cotasks.generate import Batching, Loading, Sampling, generate, prepare  # noqa: E402
from cotasks.generate import run as generate_module  # noqa: E402
from cotasks.generate.prepare import Item  # noqa: E402
from cotasks.models.load import Model, load_model  # noqa: E402
from cotasks.models.repairs import repair  # noqa: E402
from cotasks.models.tensors import collate_for_generation  # noqa: E402
from cotasks.models.tiny import save_tiny  # noqa: E402
from cotasks.records.dataset import Records  # noqa: E402
from cotasks.runs.folder import Key, read_generations  # noqa: E402
from tests.benchmarks.gpu_speed import CONDITIONS, FRAMES, world  # noqa: E402

LEAST = {"generate": 10.2, "generate, nothing reused": 6.8}
"""Times the answers a processor-second of lmms-eval."""
TOKENS = 32
TASK, SPLIT = "cotasks", "test"


def prompts(records: Records, model: Model, videos: Path) -> dict[Key, Item]:
    """Our prompts by key."""
    pending = {(i, condition.name, 0) for i in records.ids for condition in CONDITIONS}
    everything = [records.at(i) for i in range(len(records))]
    found = {}
    for video_id in dict.fromkeys(records.video_ids):
        of_video = [record for record in everything if record.video_id == video_id]
        for item in prepare.prepare_video(of_video, CONDITIONS, pending, model, videos):
            assert isinstance(item, Item), item
            found[item.key] = item
    return found


class Peer:
    """lmms-eval's model, and our prompts as its requests."""

    def __init__(self, folder: Path, items: Sequence[Item], videos: Path, batch_size: int, model: Model) -> None:
        from lmms_eval.api.instance import Instance
        from lmms_eval.models import get_model

        size = model.processor.video_processor.size
        self.model: Any = get_model("qwen2_5_vl")(
            pretrained=str(folder),
            device="cpu",
            device_map="cpu",
            batch_size=batch_size,
            max_num_frames=FRAMES,
            min_pixels=size["shortest_edge"],  # its own least would make frames 16 times as large
            max_pixels=size["longest_edge"],
        )
        # it loads bfloat16, which is slow on a CPU, and whose weights are others
        self.model._model.float().load_state_dict(model.model.state_dict())
        repair(self.model._model, self.model.processor)  # else text has other positions than in ours
        docs = [self._messages(item, videos / f"{item.video_id}.mp4") for item in items]
        self.model.task_dict = {TASK: {SPLIT: docs}}
        settings = {"max_new_tokens": TOKENS, "temperature": 0}
        self.requests = [
            Instance(
                request_type="generate_until",
                arguments=(str(number), lambda doc: doc, settings, number, TASK, SPLIT),
                idx=0,
                metadata={"task": TASK, "doc_id": number, "repeats": 1},
            )
            for number in range(len(docs))
        ]

    @staticmethod
    def _messages(item: Item, video: Path) -> list[dict[str, Any]]:
        """In the form that its tasks hand over."""
        messages = []
        for message in item.prompt.messages:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            messages.append(
                {
                    "role": message["role"],
                    "content": [{"type": "video", "url": str(video)} if p["type"] == "video" else p for p in parts],
                }
            )
        return messages

    def ask(self) -> list[str]:
        """Answers in the order of the prompts."""
        return [getattr(answer, "text", answer).strip() for answer in self.model.generate_until(self.requests)]

    def tokens(self) -> Counter[tuple[int, ...]]:
        """The tokens of its prompts; seen while it asks for one token each."""
        seen: Counter[tuple[int, ...]] = Counter()
        plain = self.model._model.generate

        def noted(**inputs: Any) -> Any:
            for row, kept in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
                seen[tuple(row[kept.bool()].tolist())] += 1
            return plain(**{**inputs, "max_new_tokens": 1})

        self.model._model.generate = noted
        try:
            self.ask()
        finally:
            del self.model._model.generate
        return seen


def processor_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def measure(folder: Path, videos: int, rounds: int, batch_size: int) -> bool:
    records = world(folder, videos, small=False)
    save_tiny(folder / "model")
    model = load_model(str(folder / "model"), Loading(dtype="float32"))
    generate_module.load_model = lambda *_: model  # type: ignore[assignment]
    items = prompts(records, model, folder / "videos")
    peer = Peer(folder / "model", list(items.values()), folder / "videos", batch_size, model)

    ours: Counter[tuple[int, ...]] = Counter()
    for item in items.values():
        batch = collate_for_generation(model.processor, model.family, [item.prompt], [item.clip])
        ours[tuple(batch["input_ids"][0].tolist())] += 1
    theirs = peer.tokens()  # which also warms it up
    lengths, other_lengths = (sorted(map(len, seen.elements())) for seen in (ours, theirs))
    if ours != theirs:
        print(f"lmms-eval's prompts, of {other_lengths} tokens, are not ours, of {lengths}; nothing to compare")
        return False
    print(f"{len(items)} prompts of {lengths[0]} to {lengths[-1]} tokens about {videos} videos of {FRAMES} frames")

    ways = {"generate": Batching(), "generate, nothing reused": Batching(vision_reuse=False, prefix_reuse=False)}
    spent: Counter[str] = Counter()
    alike: dict[str, int] = {}
    for number in range(rounds):
        seconds, answers = processor_seconds(peer.ask)
        spent["lmms-eval"] += seconds
        for way, batching in ways.items():
            run = folder / f"{way} {number}"
            seconds, result = processor_seconds(
                lambda run=run, batching=batching: generate(
                    records,
                    CONDITIONS,
                    str(folder / "model"),
                    run,
                    videos=folder / "videos",
                    sampling=Sampling(max_new_tokens=TOKENS),
                    batching=batching,
                    progress=False,
                )
            )
            assert result.complete, result.failures
            spent[way] += seconds
            found = read_generations(run)
            alike[way] = sum(found[key]["answer"] == said for key, said in zip(items, answers, strict=True))
    good = True
    total = rounds * len(items)
    for way, seconds in spent.items():
        ratio = spent["lmms-eval"] / seconds
        bound = f", {ratio:.1f} times lmms-eval (at least {LEAST[way]})" if way in LEAST else ""
        same = f"; {alike[way]} of {len(items)} answers are lmms-eval's" if way in alike else ""
        print(f"  {way}: {total / seconds:.2f} answers a processor-second{bound}{same}")
        good &= ratio >= LEAST.get(way, 0)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1, help="of lmms-eval (default: 1, as its own)")
    given = parser.parse_args()
    try:
        import lmms_eval.models.chat.qwen2_5_vl  # noqa: F401
    except ImportError as error:
        print(f"lmms-eval cannot be imported here ({error}); the first lines of this script say what to install")
        return 1
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        datasets.config.HF_DATASETS_CACHE = f"{name}/cache"
        return 0 if measure(Path(name), given.videos, given.rounds, given.batch_size) else 1


if __name__ == "__main__":
    sys.exit(main())
