"""Each row of the table of models from end to end: trained, saved, loaded, asked, and its examples exported."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from cotasks.generate.local.encode import Encoded, Encoder
from cotasks.generate.local.vision import model_inputs, reuse_of
from cotasks.generate.prepare import Item, prepare_video
from cotasks.models.families import FAMILIES, limits_of
from cotasks.prompts import parse_condition
from cotasks.records.schema import Record
from cotasks.training.collator import TrainingCollator
from cotasks.training.events import Event
from cotasks.training.examples import examples_of, instructions
from cotasks.training.export import write_messages, write_ms_swift
from cotasks.training.loaders import loader_limits
from tests.synthetic import make_record, write_video
from tests.tiny_models import tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from cotasks.models.load import load_model  # noqa: E402
from cotasks.models.repairs import repair  # noqa: E402

ROOT = Path(__file__).parents[1]
CONDITIONS = ("baseline", "cotasks", "blind")


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "v.mp4")
    return folder


@pytest.fixture(scope="session")
def record() -> Record:
    return make_record("v", 0, num_frames=4)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_trained_saved_loaded_asked_and_exported(family: str, record: Record, videos: Path, tmp_path: Path) -> None:
    row, (untrained, processor) = FAMILIES[family], tiny(family)
    # examples: the chain and the answer, in the family's own words
    limits = limits_of(processor, row)
    columns = instructions(record, ["cotasks", "baseline"], family=family, limits=limits, num_frames=4)
    examples = list(examples_of(columns))
    events: list[Event] = []
    # training: one step, which changes what is said of the example
    batch = TrainingCollator(processor, row, videos, report=events.append)(examples)
    assert not events
    assert len(batch["labels"]) == len(examples) == 2
    model = copy.deepcopy(untrained).train()
    repair(model, processor)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        assert model(**batch).loss < loss
    # saved and loaded
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"))
    assert (loaded.family, loaded.limits) == (row, limits)
    # prompts of conditions, with and without what is worked out once a video
    conditions = [parse_condition(name) for name in CONDITIONS]
    keys = {(record.id, name, 0) for name in CONDITIONS}
    items = list(prepare_video([record], conditions, keys, loaded, videos))
    assert all(isinstance(item, Item) for item in items), items
    encoded = list(Encoder(loaded, 4).encode(items))  # type: ignore[arg-type]
    rows = [one for one in encoded if isinstance(one, Encoded)]
    assert len(rows) == len(CONDITIONS)
    said = []
    for reuse in (reuse_of(loaded, vision=False), reuse_of(loaded)):
        inputs, width = model_inputs(loaded, rows, reuse)
        with torch.inference_mode():
            answers = loaded.model.generate(**inputs, generation_config=loaded.generation_config(4))[:, width:]
        said.append(answers.tolist())
    assert said[0] == said[1]
    # exported, for the sizes that trainers leave alone
    columns = instructions(record, ["cotasks", "baseline"], family=family, limits=loader_limits(family), num_frames=4)
    examples = list(examples_of(columns))
    for write in (write_ms_swift, write_messages):
        path = tmp_path / f"{write.__name__}.jsonl"
        assert write(examples, path, videos, frames=tmp_path / "frames") == 2
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line, example in zip(lines, examples, strict=True):
            assert [turn["role"] for turn in line["messages"]] == [turn["role"] for turn in example["messages"]]


def test_the_table_of_what_was_tested_holds_each_row() -> None:
    """What the documentation says of a row is what the row says."""
    tables = (ROOT / "README.md").read_text(), (ROOT / "examples" / "models.md").read_text()
    boxes = {"pixels": "pixels of the resized frame", "thousandths": "0 to 1000", "fractions": "fractions"}
    for name, row in FAMILIES.items():
        readme, tested = (next(x for x in text.splitlines() if x.startswith(f"| `{name}` |")) for text in tables)
        assert readme.split(" | ")[2:] == [boxes[row.coordinates], f"{row.frame_reference} |"], name
        cells = [cell.strip() for cell in tested.strip("|").split("|")]
        assert cells[1] == ", ".join(row.model_types), name
        assert cells[5].startswith("yes" if row.prefix_reuse else "no: "), name
        assert bool(cells[6]) == (row.thinking is not None), name
    listed = set(re.findall(r"^\| `(\w+)` \|", tables[1], flags=re.MULTILINE))
    assert listed == {*FAMILIES, *(kind for row in FAMILIES.values() for kind in row.elsewhere)}
