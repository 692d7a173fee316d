"""Whatever a machine does to a file that is read: one line that says so, or the right result.

Each kind of folder is made once; a mutation changes one file of it, the readers of that kind are called in this
process, and the file is put back. The default is some twenty mutations a kind, the same in every run, and five times as
many with `--hypothesis-profile full`. The large one:

    COTASKS_DAMAGE=10000 pytest -m slow -n 0 -s tests/test_damage.py
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from cotasks.annotate.filed import open_detections
from cotasks.builders.assemble import plan_splits
from cotasks.builders.jobs import workers
from cotasks.builders.publish import card
from cotasks.builders.publish.built import check_folder
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.cli import app
from cotasks.commands.config_file import read_options
from cotasks.convert import convert
from cotasks.errors import CotasksError
from cotasks.imports import import_answers
from cotasks.judge.controls import outcomes_of
from cotasks.judge.judges import judges_of, verdicts_of
from cotasks.judge.llm.ledger import Ledger
from cotasks.judge.llm.pricing import Price
from cotasks.judge.llm.rubric import load_rubric
from cotasks.judge.run import control_judge, judge_run
from cotasks.label.book import Said, open_book
from cotasks.label.sample import choose, read_plan, settle_plan
from cotasks.label.table import read_table, write_sheet
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import load_records
from cotasks.records.shards import check_hashes
from cotasks.report import summarise_runs, write_report
from cotasks.runs.folder import settle
from cotasks.runs.labels import export_csv, read_labels
from cotasks.runs.predictions import prediction_row, read_predictions, write_predictions
from cotasks.runs.run import read_run
from cotasks.sample import DATA_DIR
from cotasks.steps.predicted import PredictedSteps
from cotasks.tools.files import dump_json, dump_jsonl
from cotasks.video.cache import FrameCache
from cotasks.video.packets import VideoInfo
from tests import pvsg_files
from tests import test_convert_vidvrd as vidvrd_files
from tests import test_imports as answer_files
from tests import test_read_castbench as castbench_files
from tests import test_read_perception_test as perception_files
from tests import test_read_vstar as vstar_files
from tests.damage import damaged, files_of, put_back
from tests.examples import share
from tests.judge_server import JudgeServer, completion, verdict
from tests.synthetic import make_record, write_folder, write_video
from tests.test_judge import add_answers, question
from tests.test_own import ANNOTATION, QUESTION
from tests.test_report import add, write_run

DEFAULT, SEVERAL = 100, int(os.environ.get("COTASKS_DAMAGE", "200"))
SECONDS = 20.0
"""A mutation after which a reader takes longer than this is a fault too."""
MEMORY = 4 * 2**30
"""So is one after which it asks for more bytes than this, where the system can hold it to that."""


@dataclass(frozen=True)
class Kind:
    """What is damaged, and what reads it."""

    folder: Path
    """All its files are damaged, but for those that `spared` names."""
    use: Callable[[Path, int], Any]
    """Reads it; takes the folder and the number of the mutation, so that what is slow is not done each time."""
    right: Callable[[Any, Any, str], bool] = lambda found, sound, file: True
    """Whether what was read of the damaged file is allowed: (found, as of the sound folder, name of the file)."""
    spared: tuple[str, ...] = ()


# what reads each kind


def use_built(folder: Path, number: int) -> Any:
    fingerprint = None
    check_hashes(str(folder), "nextqa_oe", "validation")
    if number % 8 == 0:
        records = load_records(str(folder), config="nextqa_oe")
        fingerprint = records.fingerprint, list(records)
    built = check_folder(folder)
    card.render(built.readme, built.builds, built.shards)
    return fingerprint, [(shard.rows, shard.sha256) for shard in built.shards]


def right_built(found: Any, sound: Any, file: str) -> bool:
    return found[1] == sound[1] and found[0] in (None, sound[0])


def use_hand_made(folder: Path, number: int) -> Any:
    """A data set without build.json, as pandas or a script writes it."""
    records = load_records(str(folder), config="nextqa_oe")
    return records.fingerprint, list(records)


def use_run(folder: Path, number: int) -> Any:
    run = read_run(folder)
    found = {(judge, key): said for judge in judges_of(folder) for key, said in verdicts_of(run, judge).items()}
    if number % 4 == 0:
        judge_run(folder, "exact")
    if number % 16 == 0:
        write_report([folder], frames=False, dataset=None)
    elif number % 2 == 0:
        summarise_runs([folder])
    return {key: (v.score, v.correct, v.unreadable) for key, v in found.items() if v.score is not None}


def right_run(found: Any, sound: Any, file: str) -> bool:
    """Fewer verdicts may count, but none may say something else."""
    return all(sound.get(key, said) == said for key, said in found.items())


def use_labelled(folder: Path, number: int) -> Any:
    """A run that people labelled, whose judge was asked controls."""
    run = read_run(folder)
    labels, _ = read_labels(run)
    found = [outcomes_of(run, judge) for judge in judges_of(folder)]
    plan = read_plan(folder)
    if plan is not None:
        assert choose(run, plan)
        write_sheet(run, plan, "ann", folder.parent / "sheet.csv")
    export_csv(run, folder.parent / "labels.csv")
    if number % 8 == 0:
        summarise_runs([folder])
    said = {(one.key, one.labeller): (one.score, one.weight) for one in labels}
    return said, {one.control: (one.asked, one.accepted) for each in found for one in each}


def right_labelled(found: Any, sound: Any, file: str) -> bool:
    """No control may have been asked that was not, nor a label be of an answer that nobody labelled."""
    controls = all(n <= sound[1][name][0] and yes <= n for name, (n, yes) in found[1].items())
    return controls and (file.startswith("ann") or file.startswith("bob") or set(found[0]) <= set(sound[0]))


def use_sheet(folder: Path, number: int) -> Any:
    """Both kinds of CSV, taken over into a run of its own."""
    found = []
    for table in ("sheet.csv", "labels.csv"):
        shutil.rmtree(folder / "run/labels", ignore_errors=True)
        shutil.copytree(folder / "plan", folder / "run/labels")
        try:
            found.append(read_table(read_run(folder / "run"), folder / table))
        except CotasksError as error:
            found.append(str(error))
            none = not read_labels(read_run(folder / "run"))[0]
            assert none, f"a part of {table} was taken"
    return found


def use_ledger(folder: Path, number: int) -> Any:
    ledger = Ledger(folder / "openai-m.jsonl", {False: Price(1.0, 2.0), True: Price(0.5, 1.0)}, 1.0)
    ledger.close()
    return ledger.describe(), ledger.allows((100, 100)), ledger.batched()


def use_predictions(folder: Path, number: int) -> Any:
    found = read_predictions(folder)
    told = [found.of(record) for record in RECORDS]
    return found.steps, found.num_frames, found.fingerprint, told


def right_predictions(found: Any, sound: Any, file: str) -> bool:
    return file == "run.json" or found[2:] == sound[2:]


RECORDS = [make_record(f"v{number}", number) for number in range(3)]


def use_frames(folder: Path, number: int) -> Any:
    return FrameCache(folder / "frames", memory_bytes=0).read(folder / "v.mp4", [0, 3, 6], (32, 24))


def right_frames(found: Any, sound: Any, file: str) -> bool:
    return bool(np.array_equal(found, sound))


def use_rubric(folder: Path, number: int) -> Any:
    return load_rubric(folder / "own.txt").sha256


@cache
def generate_command() -> Any:
    import typer.main

    group: Any = typer.main.get_command(app)
    return group.commands["generate"]


def use_options(folder: Path, number: int) -> Any:
    import typer

    usage_error: Any = typer.BadParameter.__bases__[0]
    for path in sorted(folder.iterdir()):
        command = generate_command()
        try:
            values = read_options(path, command, "generate")
            command.make_context("generate", [], default_map=values)
        except usage_error as error:
            raise CotasksError(str(error), "usage") from None


def use_sources(config: str, localization: str = "auto", split: str = "validation") -> Callable[[Path, int], Any]:
    def use(folder: Path, number: int) -> Any:
        chosen = str(folder / "proposals.jsonl") if localization == "model" else localization
        options = BuildOptions(config, data_dir=str(folder), localization=chosen)
        plans, _ = plan_splits(options, [split])
        with workers(plans, 1) as several:
            jobs = [job for split in plans for job in several.jobs(split)]
        for line in (s.detail for job in jobs for s in job.skipped):
            assert "\n" not in line
        return [job.summary.records for job in jobs]

    return use


# how each kind is made


def small_sources(folder: Path) -> Path:
    """The annotation of one video of each source, with two questions."""
    data = Path(DATA_DIR)
    for name in ("nextqa/map_vid_vidorID.json", "nextqa/add_reference_answer_test.json", "nextgqa/gsub_val.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / name, folder / name)
    for task in ("oe", "mc"):
        (folder / "nextqa" / task).mkdir()
        lines = (data / "nextqa" / task / "val.csv").read_text("utf-8").splitlines(keepends=True)
        (folder / "nextqa" / task / "val.csv").write_text("".join(lines[:3]), "utf-8")
    (folder / "vidor/0501").mkdir(parents=True)
    shutil.copy(data / "vidor/validation/0501/4101010101.json", folder / "vidor/0501")
    shutil.copytree(data / "star", folder / "star", ignore=shutil.ignore_patterns("STAR_*.json"))
    items = orjson.loads((data / "star/STAR_val.json").read_bytes())
    (folder / "star/STAR_val.json").write_bytes(orjson.dumps(items[:2]))
    rows = [
        {
            "id": f"nextqa_oe/validation/4101010101_{n}",
            "model": "m",
            "used_answer": False,
            "entities": ["dog", "frisbee"],
        }
        for n in range(3)
    ]
    dump_jsonl(folder / "proposals.jsonl", [{**row, "spans": [[0.5, 2.0]]} for row in rows])
    return folder


def judged_run(folder: Path) -> Path:
    """A run with failures that `exact`, `f1` and a language model judged."""
    write_run(folder)
    add(folder, "failures", "q2", "cotasks", reason="out of memory")
    row = orjson.loads((folder / "questions.jsonl").read_bytes().splitlines()[0])
    rows = [row | {"id": name, "choices": [], "answer_index": -1, "answer": "to run fast"} for name in ("q2", "q3")]
    with (folder / "questions.jsonl").open("ab") as file:
        file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    for name, said in (("q2", "to run"), ("q3", "to run fast")):
        add(folder, "generations", name, "baseline", answer=said, finish_reason="length", cut_items=2)
    for judge in ("exact", "f1"):
        judge_run(folder, judge)
    with JudgeServer(lambda number, request: verdict(4, "yes")) as server:
        judge_run(folder, "openai:m", base_url=server.url, repeats=2, progress=False, price=(1.0, 2.0))
    return folder


def predictions(folder: Path) -> Path:
    settings = {"predict": {"steps": [1, 2, 3, 4]}, "dataset": {"name": "d", "split": "validation"}}
    asked = dataclasses.asdict(dataclasses.replace(parse_condition("baseline"), num_frames=6))
    dump_json(folder / "run.json", settings | {"conditions": {"predict": asked}})
    rows = []
    for record in RECORDS:
        a1 = record.frame_localization
        told = PredictedSteps(
            *(a1, record.entity_tracking, record.spatial_relations, record.temporal_relations),
            entities=a1.entities,
            names=tuple((entity.tid, entity.category) for entity in a1.entities),
            reasons={},
        )
        rows.append(prediction_row(record.id, "m", "own", told, {}, (), {}))
    write_predictions(folder, "validation", rows)
    return folder


def make_built(folder: Path) -> Kind:
    build_folder(BuildOptions("nextqa_oe", data_dir=str(small_sources(folder.parent / "sources"))), folder)
    return Kind(folder, use_built, right_built, spared=(".lock",))


def make_hand_made(folder: Path) -> Kind:
    return Kind(write_folder(folder, RECORDS), use_hand_made, spared=("README.md",))


def make_run(folder: Path) -> Kind:
    return Kind(judged_run(folder), use_run, right_run, spared=("ledger", ".lock"))


def labelled_run(folder: Path) -> Path:
    settle(folder, {"model": {"name": "m"}, "conditions": {"baseline": {}, "cotasks": {}}})
    said = ["a cap", "the ball", "opens the box", "sits down"]
    rows = [question(id=f"q{n}", question=f"what does he do {n}", answer=said[n], video_id=f"v{n}") for n in range(4)]
    dump_jsonl(folder / "questions.jsonl", rows)
    add_answers(folder, {(f"q{n}", c, 0): f"{c[0]} {said[n - 1]}" for n in range(4) for c in ("baseline", "cotasks")})
    with JudgeServer(lambda number, request: verdict(4, "yes")) as server:
        judge_run(folder, "openai:m", base_url=server.url, progress=False)
        control_judge(folder, "openai:m", 2, base_url=server.url, progress=False)
    run, plan = read_run(folder), settle_plan(folder, 6)
    items = choose(run, plan)
    for name in ("ann", "bob"):
        with open_book(run, plan, name, items) as book:
            for number, item in enumerate(items):
                book.write(item, (Said(True, 4, "fine"), Said(False, 1), Said(None, None))[number % 3])
    return folder


def make_labelled(folder: Path) -> Kind:
    return Kind(labelled_run(folder), use_labelled, right_labelled, spared=("ledger", ".lock", "verdicts"))


def make_sheet(folder: Path) -> Kind:
    run = read_run(labelled_run(folder / "run"))
    plan = settle_plan(run.folder)
    write_sheet(run, plan, "ann", folder / "sheet.csv")
    export_csv(run, folder / "labels.csv")
    (folder / "plan").mkdir()
    shutil.copy(run.folder / "labels/sample.json", folder / "plan")
    return Kind(folder, use_sheet, spared=("run/", "plan/"))


def make_readings(folder: Path) -> Kind:
    """A run whose options a language model read where the rules could not."""
    choices = ["take the cap", "throw the ball", "open the box"]
    settle(folder, {"model": {"name": "m"}, "conditions": {"baseline": {}, "cotasks": {}}})
    asked = {"question": "what does he do", "answer": "open the box", "choices": choices, "answer_index": 2}
    dump_jsonl(folder / "questions.jsonl", [question(id=f"q{number}", **asked) for number in range(3)])
    said = ("He lifts the lid.", "C", "A or B", "He looks inside.", "open the box", "He throws it and opens it.")
    keys = ((f"q{number}", condition, 0) for number in range(3) for condition in ("baseline", "cotasks"))
    add_answers(folder, dict(zip(keys, said, strict=True)))
    with JudgeServer(lambda number, request: completion("none" if number % 3 else "C")) as server:
        judge_run(folder, "exact", base_url=server.url, choices_by="openai:m", progress=False)
    return Kind(folder, use_run, right_run, spared=("ledger", ".lock"))


def make_ledger(folder: Path) -> Kind:
    folder.mkdir()
    rows = [{"before": [5, 6], "batch": False}, {"call": 0, "key": "k", "most": [100, 50], "batch": False}]
    rows += [{"call": 1, "key": "j", "most": [100, 50], "batch": True}, {"call": 0, "used": [90, 7]}]
    dump_jsonl(folder / "openai-m.jsonl", rows)
    return Kind(folder, use_ledger)


def make_predictions(folder: Path) -> Kind:
    return Kind(predictions(folder), use_predictions, right_predictions)


def make_frames(folder: Path) -> Kind:
    folder.mkdir()
    write_video(folder / "v.mp4", 8)
    kind = Kind(folder, use_frames, right_frames, spared=("v.mp4",))
    use_frames(folder, 0)
    return kind


def make_rubric(folder: Path) -> Kind:
    folder.mkdir()
    (folder / "own.txt").write_text("name: own\nversion: 2\n\nYou grade answers.\n\nBe fair.\n", "utf-8")
    return Kind(folder, use_rubric)


def make_options(folder: Path) -> Kind:
    folder.mkdir()
    options = "dataset: sample\nmodel: org/m\ncondition: [baseline, cotasks]\nnum-frames: 8\nlimit: 4\ntop-p: 0.5\n"
    (folder / "a.yaml").write_text(options + "extra-body:\n  top_k: 4\nvideos: films\nbatch-size: 2\n", "utf-8")
    dump_json(folder / "b.json", {"dataset": "sample", "model": "m", "samples": 2, "seed": 3, "top_p": None})
    settings: dict[str, Any] = {
        "dataset": {"name": "sample", "config": "sample", "split": "validation", "limit": 4, "videos": None},
        "model": {"name": "m", "dtype": "float32"},
        "sampling": {"num_samples": 2, "temperature": 0.5, "seed": 3},
        "conditions": {"baseline": {"num_frames": 8}, "cotasks": {"num_frames": 8}},
        "max_new_tokens": 64,
        "versions": {"attention": "eager"},
        "backend": "local",
    }
    dump_json(folder / "run.json", settings)
    return Kind(folder, use_options)


def make_own(packed: bool) -> Callable[[Path], Kind]:
    """Own questions and annotation, plain or compressed."""

    def make(folder: Path) -> Kind:
        (folder / "annotation").mkdir(parents=True)
        first = {**QUESTION, "split": "val", "category": "vehicles", "evidence": {"spans": [[1, 2]], "entities": ["f"]}}
        others = {**QUESTION, "split": "val", "choices": ["a car", "a forklift"], "clip": [0.5, 4]}
        dump_jsonl(folder / "questions.jsonl", [first, {**others, "id": "q2"}, {**QUESTION, "id": "q3"}])
        dump_json(folder / "own.json", {"format": 1, "source": "yard", "license": "cc-by-4.0"})
        line = orjson.dumps(ANNOTATION | {"fps": 8.0, "frame_count": 80, "width": 64, "height": 48}) + b"\n"
        name = "annotation/a.jsonl" + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(line, mtime=0) if packed else line)
        return Kind(folder, use_sources("own"))

    return make


def make_nextqa(config: str, localization: str = "auto") -> Callable[[Path], Kind]:
    used = {"nextqa_oe": ("nextqa/oe", "map_vid", "add_ref", "nextgqa", "vidor", "proposals"), "star": ("star",)}
    used["nextqa_mc"] = ("nextqa/mc", "map_vid", "nextgqa", "vidor")

    def make(folder: Path) -> Kind:
        small_sources(folder)
        every = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        spared = tuple(name for name in every if not any(part in name for part in used[config]))
        return Kind(folder, use_sources(config, localization), spared=spared)

    return make


def make_perception_test(folder: Path) -> Kind:
    return Kind(perception_files.write(folder, {"video_1": perception_files.video()}), use_sources("perception_test"))


def make_pvsg(folder: Path) -> Kind:
    """A video with its masks in a zip, and one with its masks in a folder."""
    split = {"vidor": {"train": [], "val": ["0001_1"]}, "epic_kitchen": {"train": [], "val": ["P01_1"]}}
    return Kind(pvsg_files.write(folder, pvsg_files.annotation(split=split)), use_sources("pvsg"))


def make_vstar(folder: Path) -> Kind:
    rows = [vstar_files.row(), vstar_files.row("other")]
    return Kind(vstar_files.write(folder, rows), use_sources("vstar", split="test"))


def make_castbench(folder: Path) -> Kind:
    """CaST-Bench's questions, one of them with its evidence as a list, not as text."""
    piece = castbench_files.piece("dog_a1B", "00:01", "00:03", {s: [10, 20, 60, 90] for s in "123"})
    rows = [castbench_files.question("v.mp4", text, [piece]) for text in ("Why?", "How?")]
    rows.append({**rows[0], "question": "Who?", "evidence": [piece]})
    (folder / "castbench").mkdir(parents=True)
    dump_jsonl(folder / "castbench/castbench_hf.jsonl", rows)
    return Kind(folder, use_sources("castbench", split="test"))


def make_answers(name: str, form: str) -> Callable[[Path], Kind]:
    """A file of answers in a form, with evidence in them, to import."""
    boxes = {"00:00": [1, 2, 30, 40], "00:01": "[2, 2, 31, 40]"}
    piece = {"evidence_start_time": "00:00", "evidence_end_time": "00:01", "bboxes_in_time_range": boxes}
    answer = {"instances": [{"instance_name": "dog", "evidences": [piece]}], "answer_choice": "B"}
    text = orjson.dumps(answer).decode()

    def make(folder: Path) -> Kind:
        folder.mkdir(parents=True)
        records = load_records("sample", "validation", limit=3)
        rows = [dict(row) for row in records.rows]
        answer_files.write_form(form, folder, rows, lambda row: text)

        def use(folder: Path, number: int) -> Any:
            run = folder.parent / "answers of damage"
            shutil.rmtree(run, ignore_errors=True)
            import_answers(folder / name, records, run)
            if number % 16 == 0:
                judge_run(run, "exact")
                summarise_runs([run])

        return Kind(folder, use)

    return make


def make_imported(folder: Path) -> Kind:
    """What an import wrote, evidence included, to judge and report, and to import into again."""
    make_answers("answers.jsonl", "plain")(folder / "from")
    records = load_records("sample", "validation", limit=3)
    import_answers(folder / "from/answers.jsonl", records, folder / "run")
    truth = {"instances": [{"evidences": [{"evidence_start_time": "00:00", "evidence_end_time": "00:02"}]}]}
    dump_jsonl(folder / "run/evidence.jsonl", ({"id": i, "answer_choice": "B", **truth} for i in records.ids))
    judge_run(folder / "run", "exact")

    def use(folder: Path, number: int) -> Any:
        summarise_runs([folder / "run"])
        if number % 4 == 0:
            import_answers(folder / "from/answers.jsonl", records, folder / "run")

    return Kind(folder, use, spared=("from", ".lock"))


def make_detections(name: str) -> Callable[[Path], Kind]:
    """Detections of another program, to track."""

    def make(folder: Path) -> Kind:
        folder.mkdir()
        boxes = [(0, [1, 2, 30, 40], "dog", 0.5), (5, [2, 2, 31, 40], "dog", 0.9), (5, [40, 2, 61, 40], "cat", 0.4)]
        if name.endswith(".csv"):
            rows = [f"{b[0]},{b[1]},{b[2]},{b[3]},{what},{sure},{frame}" for frame, b, what, sure in boxes]
            head = "x_min,y_min,x_max,y_max,class_name,confidence,frame_index"
            (folder / name).write_text("\n".join([head, *rows]) + "\n")
        elif name.endswith(".json"):
            keys = ("x_min", "y_min", "x_max", "y_max")
            fields = ({"class_name": what, "confidence": sure, "frame_index": n} for n, _, what, sure in boxes)
            dump_json(
                folder / name, [dict(zip(keys, b[1], strict=True)) | f for b, f in zip(boxes, fields, strict=True)]
            )
        else:
            own = [{"entity": n, "frame": f, "xyxy": b, "score": sure} for n, (f, b, _, sure) in enumerate(boxes)]
            entities = [{"id": n, "category": what} for n, (_, _, what, _) in enumerate(boxes)]
            dump_jsonl(folder / name, [{"video": "v.mp4", "entities": entities, "boxes": own}])
        info = VideoInfo(fps=8.0, frame_count=80, width=64, height=48)

        def use(folder: Path, number: int) -> Any:
            source = open_detections(folder / name, ["v.mp4"])
            return source.of("v.mp4", info, 0.2).frames if source.has("v.mp4") else None

        return Kind(folder, use)

    return make


def make_vidvrd(folder: Path) -> Kind:
    """Annotation to convert."""
    folder.mkdir()
    dump_json(folder / "a.json", vidvrd_files.video())

    def use(folder: Path, number: int) -> Any:
        return dict(convert("vidvrd", folder / "a.json", folder / "out.jsonl").left_out)

    return Kind(folder, use, spared=("out.jsonl",))


KINDS: dict[str, Callable[[Path], Kind]] = {
    "built folder": make_built,
    "hand-made parquet": make_hand_made,
    "run": make_run,
    "option readings": make_readings,
    "labels and controls": make_labelled,
    "tables of labels": make_sheet,
    "ledger": make_ledger,
    "predictions": make_predictions,
    "frame cache": make_frames,
    "rubric": make_rubric,
    "options": make_options,
    "NExT-QA open-ended": make_nextqa("nextqa_oe"),
    "NExT-QA proposals": make_nextqa("nextqa_oe", "model"),
    "NExT-QA multiple choice": make_nextqa("nextqa_mc"),
    "STAR": make_nextqa("star"),
    "Perception Test": make_perception_test,
    "PVSG": make_pvsg,
    "V-STaR": make_vstar,
    "VidVRD": make_vidvrd,
    "CaST-Bench": make_castbench,
    "answers, plain": make_answers("answers.jsonl", "plain"),
    "answers, CaST-Bench": make_answers("answers.jsonl", "castbench"),
    "answers, lmms-eval": make_answers("answers.jsonl", "lmms-eval"),
    "answers, VLMEvalKit": make_answers("sheet.csv", "csv"),
    "answers, inspect": make_answers("log.eval", "inspect"),
    "answers, sheet": make_answers("sheet.xlsx", "xlsx"),
    "imported run": make_imported,
    "detections, own": make_detections("annotation.jsonl"),
    "detections, CSV": make_detections("v.csv"),
    "detections, JSON": make_detections("v.json"),
    "own data": make_own(packed=False),
    "own data, packed": make_own(packed=True),
}
FEWER = {"built folder": 24, "hand-made parquet": 8, "run": 60, "option readings": 60, "PVSG": 24, "imported run": 24}
FEWER |= {"labels and controls": 60, "tables of labels": 60}
FEWER |= dict.fromkeys((name for name in KINDS if name.startswith("answers, ")), 24)
"""Mutations of kinds that take longer."""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Kind]]:
    """The kind of a name, made once; what is loaded is kept out of the user's cache."""
    made: dict[str, Kind] = {}

    def get(name: str) -> Kind:
        if name not in made:
            made[name] = KINDS[name](tmp_path_factory.mktemp("damage") / "folder")
        return made[name]

    with ExitStack() as stack:
        if sys.platform == "linux":
            import resource

            stack.callback(resource.setrlimit, resource.RLIMIT_AS, resource.getrlimit(resource.RLIMIT_AS))
            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.delenv("OPENAI_API_KEY", raising=False)
        yield get


def one_mutation(kind: Kind, sound: dict[Path, bytes], expected: Any, name: str, number: int) -> str | None:
    """What is wrong with how a mutation is met; None where nothing is."""
    noise = random.Random(f"{name} {number}")
    spared = lambda path: any(part in path.as_posix() for part in kind.spared)  # noqa: E731
    path = noise.choice([path for path, data in sound.items() if data and not spared(path)])
    what, data = damaged(sound[path], path.suffix, noise)
    path.write_bytes(data)
    start = time.process_time()
    fault = None
    try:
        found = kind.use(kind.folder, number)
    except CotasksError as error:
        if "\n" in str(error) or not str(error):
            fault = f"not one line: {error}"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in last if "/tests/" not in frame.filename and "site-packages" not in frame.filename]
        place = (ours or last)[-1]
        fault = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:160]}"
    else:
        if data != sound[path] and not kind.right(found, expected, path.name):
            fault = f"other numbers in silence from {path.name}"
    if time.process_time() - start > SECONDS:
        fault = f"{time.process_time() - start:.0f} s for {path.name}"
    put_back(kind.folder, sound)
    return None if fault is None else f"{fault} | {path.name}, {what}, number {number}"


def check_kind(kind: Kind, name: str, count: int, first: int = 0) -> None:
    expected = kind.use(kind.folder, 0)
    sound = files_of(kind.folder)
    kind.use(kind.folder, 0)
    put_back(kind.folder, sound)
    faults = [one_mutation(kind, sound, expected, name, number) for number in range(first, first + count)]
    found = [fault for fault in faults if fault]
    kinds_of_fault = Counter(fault.split(" | ")[0] for fault in found)
    if os.environ.get("COTASKS_DAMAGE"):
        print("", f"{name}: {count} mutations, {len(found)} faults", *found[:20], sep="\n", flush=True)
    assert not found, f"{len(found)} of {count}: {kinds_of_fault.most_common(12)}; {found[:6]}"


@pytest.mark.hypothesis
@pytest.mark.parametrize("name", KINDS)
def test_some_damage(kinds: Callable[[str], Kind], name: str) -> None:
    check_kind(kinds(name), name, share(FEWER.get(name, DEFAULT)))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_much_damage(kinds: Callable[[str], Kind], name: str) -> None:
    count = SEVERAL if "COTASKS_DAMAGE" in os.environ else SEVERAL * FEWER.get(name, DEFAULT) // DEFAULT
    check_kind(kinds(name), name, count, first=DEFAULT)
