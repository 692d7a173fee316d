"""The toy world and the model that learned on it: what is drawn is annotated, what is shipped was learned."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.records.dataset import Records, load_records
from cotasks.sample import TOY_DIR
from cotasks.sample.drawn import (
    ANIMALS,
    FRAMES,
    GRID,
    LOCALIZATION,
    QUESTIONS,
    THINGS,
    annotation_files,
    drawn_stories,
    write_drawn,
)
from cotasks.sample.film import boxes, draw
from cotasks.sample.stories import Story
from cotasks.sample.world import group
from cotasks.video.reading import probe, read_frames

SCRIPT = Path(__file__).parent.parent / "examples" / "train_toy.py"


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    return drawn_stories(120, 7, "test")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Records]:
    """A folder of 40 drawn test clips, and its records."""
    folder = tmp_path_factory.mktemp("drawn")
    write_drawn(folder, 40, 4, "test")
    told = str(folder / LOCALIZATION)
    options = BuildOptions("nextqa_oe", data_dir=str(folder), num_frames=GRID, localization=told)
    build_folder(options, folder / "built", ["test"])
    return folder, load_records(str(folder / "built"), "test")


def test_the_same_seed_draws_the_same(stories: list[Story]) -> None:
    again = drawn_stories(10, 7, "test")
    assert annotation_files(again, "test") == annotation_files(stories[:10], "test")
    assert np.array_equal(draw(again[0].clip, 5), draw(stories[0].clip, 5))
    others = [drawn_stories(10, 8, "test"), drawn_stories(10, 7, "train")]
    for other in others:
        assert not {s.clip.video_id for s in other} & {s.clip.video_id for s in stories}
        assert [s.clip.actors for s in other] != [s.clip.actors for s in again]


@pytest.mark.parametrize(
    ("count", "seed", "split"), [(0, 1, "test"), (1, -1, "test"), (1, 10**4, "test"), (1, 1, "dev")]
)
def test_what_cannot_be_drawn_is_named(count: int, seed: int, split: str) -> None:
    with pytest.raises(InputError, match="expected"):
        drawn_stories(count, seed, split)


def test_deeds_are_seen(stories: list[Story]) -> None:
    """Everyone is in the picture all the time; contact is contact, and who is waved to or pointed to is apart."""
    seen = Counter[str]()
    for story in stories:
        clip = story.clip
        for frame in range(FRAMES):
            assert set(boxes(clip, frame)) == {actor.tid for actor in clip.actors}, (clip.video_id, frame)
        for relation in clip.relations:
            if relation.subject != 0 or relation.predicate in ("next_to", "towards"):
                continue
            gaps, shifts = [], []
            for frame in range(relation.begin, relation.end):
                one, two = (boxes(clip, frame)[tid] for tid in (relation.subject, relation.object))
                gaps.append(max(one[0], two[0]) - min(one[2], two[2]))
                shifts.append(two[0])
            where = (clip.video_id, relation)
            seen[relation.predicate] += 1
            if relation.predicate in ("wave_hand_to", "point_to"):
                assert min(gaps) > 0, where
            elif relation.predicate == "chase":
                assert max(gaps) < 25, where
            else:
                assert min(gaps) <= 3, where
            if relation.predicate in ("chase", "push", "kick"):
                assert abs(shifts[-1] - shifts[0]) > 10, where
    assert min(seen.values()) > 5
    assert len(seen) == 9


def test_questions_follow_from_the_annotation(stories: list[Story]) -> None:
    types = Counter(asked.type for story in stories for asked in story.asked)
    assert set(types) == {"CW", "CH", "TC", "TN", "TP", "DC", "DL", "DO", "DB"}
    for story in stories:
        clip = story.clip
        assert len(story.asked) == QUESTIONS
        kinds = {actor.kind: actor for actor in clip.actors}
        last = max(
            (
                r
                for r in clip.relations
                if r.subject == 0 and r.end == FRAMES and r.predicate not in ("next_to", "towards")
            ),
            key=lambda r: r.begin,
        )
        for asked in story.asked:
            if asked.question.startswith("what colour"):
                assert asked.answer == kinds[asked.question.split()[-1]].colour
            if asked.question.startswith("how many animals"):
                assert asked.answer == ("none", "one", "two")[sum(kind in ANIMALS for kind in kinds)]
            if asked.question.endswith("do at the end"):
                target = next(actor.kind for actor in clip.actors if actor.tid == last.object)
                assert asked.answer.endswith(f"the {target}")
                assert target in {**ANIMALS, **THINGS}


def test_it_is_built_and_read_like_the_sources(drawn: tuple[Path, Records]) -> None:
    folder, records = drawn
    build = json.loads((folder / "built/nextqa_oe/build.json").read_text())
    assert len(records) == 40 * QUESTIONS
    assert build["splits"]["test"]["skipped"] == {}
    story = drawn_stories(40, 4, "test")[11]
    clip = story.clip
    path = folder / "videos" / group(clip.video_id) / f"{clip.video_id}.mp4"
    assert probe(path).frame_count == FRAMES
    shown = read_frames(path, range(FRAMES)).astype(int)
    assert np.abs(shown - np.stack([draw(clip, frame) for frame in range(FRAMES)])).mean() < 4
    record = next(r for r in records if r.video_id == clip.video_id)
    assert [frame.index for frame in record.frames] == [0, 5, 10, 15]
    found = {t.tid: {box.frame: box.xyxy for box in t.boxes} for t in record.scene.entity_tracking}
    for frame in (0, 5, 10, 15):
        assert {tid: track[frame] for tid, track in found.items()} == boxes(clip, frame)


def test_the_model_is_small_and_named(drawn: tuple[Path, Records]) -> None:
    pytest.importorskip("transformers")
    from cotasks.models.load import load_model

    assert sum(path.stat().st_size for path in Path(TOY_DIR).iterdir()) < 3_000_000
    model = load_model("toy")
    assert (model.settings["name"], model.family.name) == ("toy", "qwen2_5_vl")
    assert "toy world" in model.settings["note"]
    record = drawn[1].at(0)
    assert (record.width, record.height) == (112, 84)
    from cotasks.models.families import frame_size

    # the frames of the drawn world are shown as they are
    assert frame_size(model.family, 112, 84, GRID, limits=model.limits) == (112, 84)


def test_it_reads_the_context_and_sees_the_video(drawn: tuple[Path, Records], tmp_path: Path) -> None:
    """On clips that no training drew, asked about deeds: true steps help, and so does the video, beyond noise.
    What the steps add to the video is less than 40 clips can tell; see the README's table."""
    pytest.importorskip("transformers")
    from scipy.stats import binomtest

    from cotasks.generate import Sampling, generate
    from cotasks.judge.run import judge_run
    from cotasks.prompts.condition import parse_condition
    from cotasks.runs.folder import read_folder

    folder, records = drawn
    conditions = [parse_condition(name) for name in ("blind", "blind-cotasks", "baseline")]
    options = {"videos": folder / "videos", "sampling": Sampling(max_new_tokens=16), "progress": False}
    assert generate(records, conditions, "toy", tmp_path / "run", **options).complete
    judge_run(tmp_path / "run", "exact")
    right: dict[str, set[str]] = {condition.name: set() for condition in conditions}
    for verdict in read_folder(tmp_path / "run" / "verdicts"):
        if verdict["score"] == 100:
            right[verdict["condition"]].add(verdict["id"])
    asked = {r.id for r in records if r.category != "descriptive"}
    right = {condition: ids & asked for condition, ids in right.items()}
    for better in ("blind-cotasks", "baseline"):
        won, lost = len(right[better] - right["blind"]), len(right["blind"] - right[better])
        assert won - lost > 0.3 * len(asked), (better, won, lost, len(asked))
        assert binomtest(won, won + lost).pvalue < 1e-6


def test_the_demo_runs_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    from cotasks import demo
    from cotasks.cli import main

    monkeypatch.setattr(demo, "CLIPS", 2)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    assert "This is a toy" in printed
    assert all(f"| {condition} " in printed for condition in demo.CONDITIONS)
    for name in ("data/nextqa_oe/build.json", "predictions/run.json", "run/report.html"):
        assert (tmp_path / "demo" / name).exists(), name
    said = {path: path.read_bytes() for path in (tmp_path / "demo").glob("*/generations/*.jsonl")}
    assert len(said) == 2
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0  # nothing is left to ask
    assert {path: path.read_bytes() for path in (tmp_path / "demo").glob("*/generations/*.jsonl")} == said


def test_the_recipe_learns() -> None:
    """Eight of its steps, of the first phase: the loss falls by more than its scatter. Its labels are answers only."""
    torch = pytest.importorskip("torch")
    recipe = _recipe()
    torch.manual_seed(0)
    processor = recipe.build_processor()
    model = recipe.build_model(processor).train()
    assert sum(weight.numel() for weight in model.parameters()) < 1_300_000
    collator = recipe.TrainingCollator(processor, recipe.FAMILY)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for parts in itertools.islice(recipe.Steps(collator, 100, seed=0), 8):
        asked = next(batch for task, batch in parts if task in ("baseline", "blind"))
        labels = asked["labels"][0]
        answer = processor.tokenizer.decode(labels[labels != recipe.IGNORED])
        assert answer.endswith("<|im_end|>")
        assert len(answer) < 40
        for _, batch in parts:
            loss, count = recipe.answer_loss(model, batch)
            (loss / count).backward()
            losses.append((loss / count).item())
        optimizer.step()
        optimizer.zero_grad()
    assert np.mean(losses[-4:]) < 0.85 * np.mean(losses[:4])


def test_the_recipe_covers_what_the_model_is_asked() -> None:
    """A word of the prompts that is changed would no longer be the token that the model knows: then train it again."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoProcessor.from_pretrained(TOY_DIR).tokenizer
    for phrase in _recipe().fixed_phrases():
        assert len(tokenizer(phrase)["input_ids"]) == 1, phrase


def _recipe() -> ModuleType:
    """`examples/train_toy.py` as a module."""
    found = importlib.util.spec_from_file_location("train_toy", SCRIPT)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["train_toy"] = module  # dataclasses look there
    found.loader.exec_module(module)
    return module
