"""`cotasks generate --dry-run`: prompts as they would be sent, and counts that a real run then has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotasks.cli import main
from cotasks.generate.dry_run import SHOWN, DryRun, dry_run
from cotasks.generate.local.encode import Encoder
from cotasks.generate.prepare import Item, prepare_video
from cotasks.generate.run import generate
from cotasks.generate.server.model import ServerOptions
from cotasks.models.load import load_model, load_without_weights
from cotasks.models.tiny import save_tiny
from cotasks.prompts.condition import Condition, parse_condition
from cotasks.records.dataset import Records, load_records
from cotasks.sample import DATA_DIR
from tests.model_options import grouped

VIDEOS = Path(DATA_DIR, "videos")
CONDITIONS = [parse_condition(text) for text in ("baseline", "cotasks:frames=7,tokens=60", "blind-cotasks-12")]


@pytest.fixture
def records() -> Records:
    return load_records("sample", "validation", limit=10)


def tokens_of(records: Records, conditions: list[Condition], name: str) -> dict[str, list[int]]:
    """The tokens of each prompt, as the loop of `generate` encodes them with real frames."""
    model = load_model(name)
    encoder = Encoder(model, 4)
    found: dict[str, list[int]] = {condition.name: [] for condition in conditions}
    for record in records:
        keys = {(record.id, condition.name, 0) for condition in conditions}
        items = [item for item in prepare_video([record], conditions, keys, model, VIDEOS) if isinstance(item, Item)]
        for encoded in encoder.encode(items):
            assert not isinstance(encoded, dict)
            found[encoded.item.key[1]].append(encoded.tokens)
    return found


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "llava_onevision", "internvl"])
def test_tokens_are_those_of_the_run(family: str, records: Records, tmp_path: Path) -> None:
    save_tiny(tmp_path / "model", family)
    name = str(tmp_path / "model")
    found = dry_run(records, CONDITIONS, name, tmp_path / "run")
    real = tokens_of(records, CONDITIONS, name)
    for condition, counts in found.conditions.items():
        assert counts.prompts == len(real[condition]) == len(records)
        assert counts.text_tokens is not None
        assert counts.video_tokens is not None
        assert counts.text_tokens + counts.video_tokens == pytest.approx(sum(real[condition]), rel=0.002)
        assert counts.longest == pytest.approx(max(real[condition]), abs=2)
        if family != "qwen3_vl":  # which writes the time of each patch between the frames
            assert counts.text_tokens + counts.video_tokens == sum(real[condition])
            assert counts.longest == max(real[condition])
    assert found.videos == len(set(records.video_ids))
    assert not found.failures
    assert not (tmp_path / "run").exists()


def test_no_weight_is_read(tmp_path: Path) -> None:
    save_tiny(tmp_path / "model")
    for path in (tmp_path / "model").glob("*.safetensors"):
        path.unlink()
    model = load_without_weights(str(tmp_path / "model"))
    assert all(weight.is_meta for weight in model.model.parameters())
    assert "weights" not in model.settings


def test_the_prompts_are_those_that_a_run_sends(records: Records, tmp_path: Path) -> None:
    found = dry_run(records, CONDITIONS, "toy", tmp_path / "run")
    model = load_model("toy")
    assert [shown.condition for shown in found.shown].count("baseline") == SHOWN
    for shown in found.shown:
        record = next(r for r in records if r.id == shown.record_id)
        condition = next(c for c in CONDITIONS if c.name == shown.condition)
        (item,) = prepare_video([record], [condition], {(record.id, condition.name, 0)}, model, VIDEOS)
        assert isinstance(item, Item)
        sent = model.processor.apply_chat_template(item.prompt.messages, tokenize=False, add_generation_prompt=True)
        text = shown.text.removeprefix(sent)
        assert text == "" if not condition.video else f"{len(item.prompt.frames)} frames of" in text


def test_what_would_fail_is_counted_as_the_run_counts_it(
    records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = Path(shutil.copytree(VIDEOS, tmp_path / "videos"))
    first = next(iter(records))
    (videos / first.video_path).unlink()
    options: dict[str, Any] = {"videos": videos}
    conditions = [parse_condition("baseline"), parse_condition("blind")]
    found = dry_run(records, conditions, "tiny", tmp_path / "run", **options)
    run = generate(
        records, conditions, "tiny", tmp_path / "run", **options, **grouped(max_new_tokens=1), progress=False
    )
    assert {reason: count for reason, (count, _) in found.failures.items()} == run.failures
    assert found.conditions["baseline"].failed == sum(run.failures.values()) > 0
    assert (found.total, found.done) == (run.total, 0)
    # and of the run that is there by now, what is done
    assert dry_run(records, conditions, "tiny", tmp_path / "run", **options).done == run.done
    command = ["generate", "sample", "--model", "tiny", "--limit", "10", "--videos", str(videos), "--dry-run"]
    assert main([*command, "--run", str(tmp_path / "other")]) == 1
    assert "would fail" in capsys.readouterr().out.splitlines()[-2]
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("media", ["images", "video_url"])
def test_of_a_server_the_request_is_shown_and_nothing_is_asked(media: str, records: Records, tmp_path: Path) -> None:
    save_tiny(tmp_path / "model")
    server = ServerOptions("http://localhost:9/v1", family="qwen2_5_vl", media=media, tokenizer=str(tmp_path / "model"))
    found: DryRun = dry_run(records, CONDITIONS, "some-model", tmp_path / "run", server=server)
    assert not found.failures
    assert all(counts.tokens for counts in found.conditions.values())
    requests = {shown.condition: json.loads(shown.text) for shown in found.shown}
    for name, request in requests.items():
        assert request["model"] == "some-model"
        kinds = [part["type"] for part in request["messages"][0]["content"]]
        assert kinds[-1] == "text"
        assert ("video_url" in kinds) is (media == "video_url" and not name.startswith("blind"))
        assert ("image_url" in kinds) is (media == "images" and not name.startswith("blind"))
    assert max(len(shown.text) for shown in found.shown) < 6000  # without the data of the frames


def test_the_command_says_what_a_run_would_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", "sample", "--model", "tiny", "--limit", "2", "--run", str(tmp_path / "run"), "--dry-run"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "<|video_pad|>" in printed
    assert "Question:" in printed
    last = printed.splitlines()[-1]
    assert "nothing was asked or written" in last
    numbers = [int(word.replace(",", "")) for word in last.split() if word.replace(",", "").isdigit()]
    assert np.all(np.array(numbers) > 0)
    assert not (tmp_path / "run").exists()
