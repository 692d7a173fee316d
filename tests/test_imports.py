"""Answers of other programs become runs: every form, what belongs to no question, kills, evidence, scores."""

from __future__ import annotations

import csv
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.imports import FORMS, Columns, import_answers
from cotasks.imports.files import rows_of
from cotasks.imports.forms import Said
from cotasks.imports.matching import SEVERAL, UNKNOWN, Index
from cotasks.imports.run import TWICE
from cotasks.judge.run import judge_run
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import parse_condition
from cotasks.prompts.prompt import step_context
from cotasks.prompts.view import view
from cotasks.records.dataset import Records, load_records
from cotasks.report import write_report
from cotasks.runs.predictions import load_predictions
from cotasks.runs.run import read_run
from cotasks.step_scores.report import write_step_report
from cotasks.steps.conventions import parse_convention
from cotasks.steps.table import step_text
from cotasks.tools.files import read_json, read_jsonl
from tests.synthetic import HEIGHT, WIDTH, write_video
from tests.test_read_castbench import question

REAL = Path(__file__).parents[1].parent / "shared/realdata"
PUBLISHED = {
    "qwen3vl-8b": (0.6125, 0.1, 0.12456109556293378, 0.025504712691149966),
    "internvl35-14b": (0.5875, 0.025, 0.15717886922051977, 0.010007289357815297),
    "gemini-3.1-pro": (0.7625, 0.1625, 0.31939692864325214, 0.03711004931834318),
    "sonnet-4.6": (0.75, 0.35, 0.29454464601982977, 0.07931422757156253),
}
"""What the publisher's scorer says of its files: qa_accuracy, qa_faithful, qa_temporal_iou, qa_spatiotemporal_iou."""
NAMES = ("qa_accuracy", "qa_faithful", "qa_temporal_iou", "qa_spatiotemporal_iou")


@pytest.fixture(scope="module")
def sample() -> Records:
    return load_records("sample", "validation", limit=12)


def prompt(row: dict[str, Any]) -> str:
    options = "".join(f"\n{letter}. {text}" for letter, text in zip("ABCDE", row["choices"], strict=False))
    return f"Watch the video.\nQuestion: {row['question']}\nOptions:{options}\nAnswer."


def said_of(row: dict[str, Any]) -> str:
    return f"I say {row['id']}"


def write_form(
    form: str, folder: Path, rows: list[dict[str, Any]], said_of: Callable[[dict[str, Any]], str] = said_of
) -> Path:
    """Answers in a form, as its program writes them."""
    if form == "lmms-eval":
        lines = [
            {
                "doc_id": n,
                "doc": {"video": row["video_id"], "question": row["question"], "id": row["id"]},
                "target": row["answer"],
                "resps": [[said_of(row)]],
                "filtered_resps": ["I"],
                "input": prompt(row),
            }
            for n, row in enumerate(rows)
        ]
    elif form == "castbench":
        lines = [{"prompt": prompt(row), "predict": said_of(row), "label": "A"} for row in rows]
    elif form == "plain":
        lines = [{"question_id": row["id"], "response": said_of(row)} for row in rows]
    if form in ("lmms-eval", "castbench", "plain"):
        path = folder / "answers.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path
    if form == "inspect":
        path = folder / "log.eval"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("header.json", json.dumps({"version": 2, "eval": {"model": "openai/gpt"}}))
            for n, row in enumerate(rows):
                message = {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "hm"}]}
                message["content"].append({"type": "text", "text": said_of(row)})  # type: ignore[attr-defined]
                line = {
                    "id": n + 1,
                    "epoch": 1,
                    "input": [{"role": "user", "content": [{"type": "text", "text": prompt(row)}]}],
                    "output": {"model": "gpt", "choices": [{"message": message}]},
                    "metadata": {"video": row["video_id"]},
                }
                archive.writestr(f"samples/{n + 1}_epoch_1.json", json.dumps(line))
        return path
    names = ["index", "video", "question", "answer", "prediction"]
    cells = [[n, row["video_id"], row["question"], row["answer"], said_of(row)] for n, row in enumerate(rows)]
    path = folder / f"sheet.{form}"
    if form == "xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for line in [names, *cells]:
            book.active.append(line)
        book.save(path)
    else:
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter="\t" if form == "tsv" else ",").writerows([names, *cells])
    return path


@pytest.mark.parametrize("form", ["lmms-eval", "castbench", "plain", "inspect", "xlsx", "tsv", "csv"])
def test_every_form(form: str, sample: Records, tmp_path: Path) -> None:
    rows = [dict(row) for row in sample.rows]
    asked = Counter(row["question"] for row in rows)
    rows = [row for row in rows if form != "castbench" or asked[row["question"]] == 1]  # it names no video
    path = write_form(form, tmp_path, rows)
    found = import_answers(path, sample, tmp_path / "run")
    name = "vlmevalkit" if form in ("xlsx", "tsv", "csv") else form
    assert (found.form, found.answers, found.taken, found.left_out) == (name, len(rows), len(rows), {})
    run = read_run(tmp_path / "run")
    assert run.conditions == ["baseline"]
    assert {key[0]: row["answer"] for key, row in run.generations.items()} == {r["id"]: said_of(r) for r in rows}
    assert len(run.failures) == len(sample) - len(rows)
    assert run.settings["model"]["name"] == ("openai/gpt" if form == "inspect" else path.stem)
    assert list(run.questions) == sample.ids
    # nothing is evidence here
    assert not (tmp_path / "run/steps").exists()


def test_every_form_has_a_row() -> None:
    assert list(FORMS) == ["lmms-eval", "inspect", "castbench", "vlmevalkit", "plain"]


def test_named_columns(sample: Records, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [dict(row) for row in sample.rows]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["which", "said", "answer"], *([r["id"], said_of(r), "?"] for r in rows)])
    with pytest.raises(InputError, match="columns which, said, answer are of no known form"):
        import_answers(path, sample, tmp_path / "run")
    found = import_answers(path, sample, tmp_path / "run", columns=Columns("which", "said"), model="m")
    assert found.taken == len(rows)
    with pytest.raises(InputError, match="no column 'who'; it has which, said, answer"):
        import_answers(path, sample, tmp_path / "run2", columns=Columns("who", "said"))
    with pytest.raises(InputError, match="form 'castbench' has columns of its own"):
        import_answers(path, sample, tmp_path / "run2", form="castbench", columns=Columns("which", "said"))


def test_answers_that_were_read_already_and_prompts_of_messages(sample: Records, tmp_path: Path) -> None:
    rows = [dict(row) for row in sample.rows]
    row = next(row for row in rows if sum(other["question"] == row["question"] for other in rows) == 1)
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": prompt(row)}]}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": messages, "predict": {"answer_choice": "B"}}))
    assert import_answers(tmp_path / "a.jsonl", sample, tmp_path / "run").taken == 1
    (answer,) = read_run(tmp_path / "run").generations.values()
    assert (answer["id"], answer["answer"]) == (row["id"], '{"answer_choice":"B"}')


def test_half_an_emoji_is_no_traceback(sample: Records, tmp_path: Path) -> None:
    line = json.dumps({"id": sample.ids[0], "prediction": "A \U0001f600 \ud83d", "x": {"\ude00": ["\ud83d"]}})
    assert "\\ud83d" in line
    (tmp_path / "a.jsonl").write_text(line)
    assert import_answers(tmp_path / "a.jsonl", sample, tmp_path / "run").taken == 1
    (answer,) = read_run(tmp_path / "run").generations.values()
    assert answer["answer"] == "A \U0001f600 \ufffd"


@pytest.mark.parametrize(("form", "said"), [("inspect", "not a log of inspect"), ("xlsx", "not a sheet")])
def test_a_damaged_archive_is_said(form: str, said: str, sample: Records, tmp_path: Path) -> None:
    path = write_form(form, tmp_path, [dict(row) for row in sample.rows])
    data = bytearray(path.read_bytes())
    start = data.index(b"sheet1.xml" if form == "xlsx" else b"samples/1_") + 60
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(InputError, match=said):
        import_answers(path, sample, tmp_path / "run")


def test_a_column_of_references_is_not_taken_for_answers(sample: Records, tmp_path: Path) -> None:
    line = {"id": sample.ids[0], "answer": "the reference", "my_model_reply": "A"}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    with pytest.raises(InputError, match=r"a\.jsonl:1: columns answer and my_model_reply; expected --answer"):
        import_answers(tmp_path / "a.jsonl", sample, tmp_path / "run")
    import_answers(tmp_path / "a.jsonl", sample, tmp_path / "run", columns=Columns(answer="my_model_reply"))
    (answer,) = read_run(tmp_path / "run").generations.values()
    assert answer["answer"] == "A"


def test_samples_that_count_from_1(sample: Records, tmp_path: Path) -> None:
    lines = [{"id": sample.ids[0], "prediction": f"number {n}", "sample": n} for n in (2, 1)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = import_answers(path, sample, tmp_path / "run")
    assert found.failures == {"no answer in the imported file": len(sample) - 1}
    assert {key[2]: row["answer"] for key, row in read_run(tmp_path / "run").generations.items()} == {
        0: "number 1",
        1: "number 2",
    }
    path.write_text(json.dumps({**lines[0], "sample": 10**12}))
    with pytest.raises(InputError, match=r"a\.jsonl:1: sample is 1000000000000; expected at most"):
        import_answers(path, sample, tmp_path / "other")


def test_a_log_without_answers_says_so(sample: Records, tmp_path: Path) -> None:
    (question,) = [row["question"] for row in sample.rows][:1]
    line = {"doc_id": 0, "arguments": {"gen_args_0": {"arg_0": question, "arg_1": {"until": ["x"]}}}, "resps": []}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    with pytest.raises(InputError, match="no answer to a question of sample: 1 no answer in the imported file"):
        import_answers(tmp_path / "a.jsonl", sample, tmp_path / "run")
    (tmp_path / "a.jsonl").write_text(json.dumps({**line, "resps": [["A"]]}))
    assert import_answers(tmp_path / "a.jsonl", sample, tmp_path / "run").taken == 1


def test_what_is_left_out_is_counted(sample: Records, tmp_path: Path) -> None:
    first, second, *_ = sample.ids
    lines = [
        {"id": first, "prediction": "one"},
        {"id": first, "prediction": "two"},
        {"id": "nobody", "prediction": "three"},
        {"id": second, "prediction": None},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = import_answers(path, sample, tmp_path / "run")
    assert (found.taken, found.left_out) == (1, {TWICE: 1, UNKNOWN: 1})
    assert found.failures == {"no answer in the imported file": len(sample) - 1}
    assert found.examples[UNKNOWN].endswith("a.jsonl:3: 'nobody'")
    run = read_run(tmp_path / "run")
    assert [row["answer"] for row in run.generations.values()] == ["one"]
    assert len(run.failures) == len(sample) - 1
    unmatched = list(read_jsonl(tmp_path / "run/unmatched.jsonl"))
    assert [(row["reason"], row["id"]) for row in unmatched] == [(TWICE, first), (UNKNOWN, "nobody")]
    path.write_text('{"id": "x", "prediction": "y"}\n')
    with pytest.raises(InputError, match="no answer to a question of sample: 1 answer to another question"):
        import_answers(path, sample, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_failures_of_the_program_are_no_answers(sample: Records, tmp_path: Path) -> None:
    rows = [dict(row) for row in sample.rows][:2]
    path = write_form("csv", tmp_path, rows)
    path.write_text(path.read_text().replace(said_of(rows[0]), "Failed to obtain answer via API."))
    found = import_answers(path, sample, tmp_path / "run")
    assert found.taken == 1
    assert found.failures["failed in the program that was asked"] == 1
    log = tmp_path / "log.json"
    samples = [
        {"id": rows[0]["id"], "epoch": 1, "input": "", "output": {"completion": "A"}},
        {"id": rows[0]["id"], "epoch": 2, "input": "", "output": {"completion": "B"}},
        {"id": rows[1]["id"], "epoch": 1, "input": "", "output": {}, "error": {"message": "timeout"}},
    ]
    log.write_text(json.dumps({"eval": {"model": "m"}, "samples": samples}))
    found = import_answers(log, sample, tmp_path / "logged")
    assert (found.form, found.taken) == ("inspect", 2)
    assert found.failures["failed in the program that was asked: 'timeout'"] == 1
    answers = {key[2]: row["answer"] for key, row in read_run(tmp_path / "logged").generations.items()}
    assert answers == {0: "A", 1: "B"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", "", "no answer in it; expected one or more"),
        ("a.jsonl", "{\n", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1: \[1\]; expected an object"),
        ("a.json", '{"x": 1}', r"an object with \['x'\]; expected a list of answers"),
        ("a.csv", "", "empty; expected a line with the columns' names"),
        ("a.csv", "id,prediction\na,b,c\n", r"a\.csv:2: 3 cells; expected 2"),
        ("a.eval", "no zip", "not a log of inspect, a zip of JSON"),
        ("a.pkl", "x", r"not a kind of file that is known; expected \.jsonl, \.json, \.csv"),
        ("a.jsonl", '{"id": "x"}\n', "columns id are of no known form"),
    ],
)
def test_files_that_are_none(name: str, content: str, said: str, sample: Records, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        import_answers(tmp_path / name, sample, tmp_path / "run")


def test_who_is_meant() -> None:
    index = Index()
    index.add("own/test/q1", "clips/a", "Why does he run?", ["to win", "to flee"])
    index.add("own/test/q2", "clips/b", "Why does he run?", ["to hide", "to eat"])
    index.add("own/test/q3", "clips/b", "Why does he run away?", [])

    def find(**said: Any) -> tuple[str | None, str]:
        return index.find(Said("a:1", "x", **said))

    assert find(ids=("own/test/q2",)) == ("own/test/q2", "")
    assert find(ids=("q2",)) == ("own/test/q2", "")
    assert find(ids=("test/q2",)) == ("own/test/q2", "")
    assert find(ids=("5",), question="why does he run") == (None, SEVERAL)
    assert find(question="why does he run", video="/data/b.mp4") == ("own/test/q2", "")
    assert find(question="Why does he run away?", video="c.mp4") == ("own/test/q3", "")
    assert find(question="Why does he run away?", video="a.mp4") == (None, UNKNOWN)  # a question of another video
    asked = "Question: Why does he run?\nOptions: A. to win B. to flee"
    assert find(prompt=asked) == ("own/test/q1", "")
    assert find(prompt="Tell me: why does he run away? Be brief.") == ("own/test/q3", "")
    assert find(prompt="Why does she run?") == (None, UNKNOWN)
    assert find(ids=("7",)) == (None, UNKNOWN)


def test_it_can_be_killed_and_run_again(sample: Records, tmp_path: Path) -> None:
    rows = [dict(row) for row in sample.rows]
    path = write_form("plain", tmp_path, rows)
    run = tmp_path / "run"
    import_answers(path, sample, run)
    file = run / "generations/imported.jsonl"
    whole = {p.relative_to(run): p.read_bytes() for p in run.rglob("*") if p.is_file()}
    for kept in (0, 1, 57, len(file.read_bytes()) - 3):
        file.write_bytes(whole[file.relative_to(run)][:kept])  # what a kill leaves
        found = import_answers(path, sample, run)
        assert found.new > 0
        assert {p.relative_to(run): p.read_bytes() for p in run.rglob("*") if p.is_file()} == whole
    assert import_answers(path, sample, run).new == 0
    path.write_text(path.read_text().replace("I say", "They say"))
    with pytest.raises(InputError, match=r"imported\.sha256 is .*; resume with the same settings or name another"):
        import_answers(path, sample, run)


# Evidence


def cast(box: list[float], seconds: tuple[int, int] = (1, 2), letter: str = "B", name: str = "the dog") -> str:
    boxes = {f"00:{second:02d}": box for second in range(seconds[0], seconds[1] + 1)}
    start, end = (f"00:{second:02d}" for second in seconds)
    piece = {"evidence_start_time": start, "evidence_end_time": end, "bboxes_in_time_range": boxes}
    return json.dumps({"instances": [{"instance_name": name, "evidences": [piece]}], "answer_choice": letter})


def marked(box: list[float], number: int) -> list[dict[str, Any]]:
    return [
        {
            "evidence_start_time": "00:01",
            "evidence_end_time": "00:03",
            "evidence_instance_id": f"dog_a{number}B",
            "bboxes_in_range": {str(second): json.dumps(box) for second in (1, 2, 3)},
        }
    ]


QUESTIONS = ["Why?", "How?", "Who?", "When?"]
BOXES = [[10, 20, 60, 90], [70, 5, 120, 40], [100, 10, 126, 90], [0, 50, 80, 95]]


@pytest.fixture
def cast_source(tmp_path: Path) -> Path:
    path = tmp_path / "source/castbench/castbench_hf.jsonl"
    path.parent.mkdir(parents=True)
    rows = [question("v.mp4", text, marked(box, n)) for n, (text, box) in enumerate(zip(QUESTIONS, BOXES, strict=True))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos/v.mp4", 160)  # 6.4 s, 128 x 96
    return tmp_path / "source"


def predictions(path: Path, answers: list[str]) -> Path:
    lines = [
        {"prompt": f"Look.\n\nQuestion: {text}\n\nOptions:\nA: x", "predict": answer}
        for text, answer in zip(QUESTIONS, answers, strict=True)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    return path


def joint(run: Path, out: Path) -> dict[tuple[str, str | None], Any]:
    judge_run(run, "exact")
    write_report([run], out=out)
    return {(row["score"], row["judge"]): row for row in read_json(out / "summary.json")["joint"]}


def test_evidence_becomes_predicted_steps_and_scores(cast_source: Path, tmp_path: Path) -> None:
    build_folder(
        BuildOptions("castbench", data_dir=str(cast_source), videos=str(tmp_path / "videos")), tmp_path / "built"
    )
    records = load_records(str(tmp_path / "built"))
    answers = [cast(box, letter=letter) for box, letter in zip(BOXES, "BBAB", strict=True)]
    answers[3] = cast([0, 0, 20, 20])
    given = parse_convention("xyxy pixels")
    found = import_answers(predictions(tmp_path / "p.jsonl", answers), records, tmp_path / "run", boxes=given)
    assert found.steps is not None
    assert found.steps.ground == "xyxy pixels: given"
    folder = load_predictions(tmp_path / "run/steps", records, ())
    for record in records:
        steps = folder.of(record)
        assert steps.frame_localization is not None
        assert steps.entity_tracking is not None
        assert [(s.start_seconds, s.end_seconds) for s in steps.frame_localization.spans] == [(1, 2)]
        assert [(t.category, [b.frame for b in t.boxes]) for t in steps.entity_tracking] == [("dog", [25, 50])]
        # conditions take them as any prediction
        told = view(record, parse_condition("predicted-12"), folder)
        context = step_context(told, FAMILIES["qwen3_vl"], (WIDTH, HEIGHT), (WIDTH, HEIGHT))
        assert step_text(told.record, 1, context) == "Frames: 1.00s to 2.00s\nEntities: the dog"
    rows = joint(tmp_path / "run", tmp_path / "report")

    def mean(score: str, judge: str | None = None) -> float:
        return float(rows[score, judge]["mean"])

    assert mean("accuracy", "exact") == 0.75
    # spans 1 to 2 s of 1 to 3 s
    assert (mean("miop"), mean("miou"), mean("acc_gqa", "exact")) == pytest.approx((1.0, 0.5, 0.75))
    assert mean("viou") == pytest.approx(0.5)  # two of three boxes, of three of four answers
    assert mean("am", "exact") == pytest.approx((0.75 + 0.5 + 0.5) / 3)
    assert mean("right_given_step_2", "exact") == pytest.approx(2 / 3)
    assert mean("right_given_no_step_2", "exact") == 1.0
    for prefix, judge in (("castbench", None), ("castbench_read", "exact")):
        assert mean(f"{prefix}_qa_accuracy", judge) == 0.75
        assert mean(f"{prefix}_qa_faithful", judge) == 0.5
        assert mean(f"{prefix}_qa_spurious", judge) == 0.25
        # whole seconds: 2 of 3, of the three answers whose boxes meet
        assert mean(f"{prefix}_qa_temporal_iou", judge) == pytest.approx(0.5)
        assert mean(f"{prefix}_qa_spatiotemporal_iou", judge) == pytest.approx(0.5)
    text = (tmp_path / "report/report.md").read_text()
    assert "Right answers on right evidence" in text
    assert "xyxy pixels: given" in text
    assert "Right answers on right evidence" in (tmp_path / "report/report.html").read_text()
    # `steps` shows the same scores, since it finds the answers that the steps belong to
    _, summary = write_step_report([tmp_path / "run/steps"], tmp_path / "table")
    assert {(row["answers"], row["condition"]) for row in summary["joint"]} == {(None, None), ("run", "baseline")}
    shown = {(row["score"], row["judge"]): row for row in summary["joint"] if row["answers"]}
    assert shown.keys() == rows.keys()
    same = ("title", "questions", "videos", "mean", "low", "high", "rough")
    assert all(one[name] == rows[key][name] for key, one in shown.items() for name in same)
    assert {row["score"]: row["mean"] for row in summary["joint"] if row["answers"] is None} == {
        "miop": rows["miop", None]["mean"],
        "miou": rows["miou", None]["mean"],
        "viou": rows["viou", None]["mean"],
    }
    page = (tmp_path / "table/steps.md").read_text()
    assert "## Answers and steps" in page
    assert "faithful: right on evidence that is met" in page


def test_the_convention_that_fits_the_frames_is_found(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "questions.jsonl").write_text('{"id": "q", "video": "v.mp4", "question": "Who?", "answer": "a dog"}\n')
    video = {"video": "v.mp4", "fps": 1, "frame_count": 9, "width": 1920, "height": 1080}
    (own / "annotation.jsonl").write_text(json.dumps({**video, "entities": [{"id": 0, "category": "dog"}]}) + "\n")
    build_folder(BuildOptions("own", data_dir=str(own)), tmp_path / "built")
    records = load_records(str(tmp_path / "built"))
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "q", "output": cast([1200, 100, 1500, 400])}) + "\n")
    steps = import_answers(tmp_path / "a.jsonl", records, tmp_path / "run").steps
    assert steps is not None
    assert steps.convention == parse_convention("xyxy pixels")
    assert steps.ground.startswith("xyxy pixels: all else is contradicted by 2 boxes")
    assert read_json(tmp_path / "run/steps/run.json")["boxes"]["convention"] == "xyxy pixels"


def test_where_two_conventions_fit_none_is_guessed(
    cast_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_folder(
        BuildOptions("castbench", data_dir=str(cast_source), videos=str(tmp_path / "videos")), tmp_path / "built"
    )
    thousandths = [
        [box[1] * 1000 // HEIGHT, box[0] * 1000 // WIDTH, box[3] * 1000 // HEIGHT, box[2] * 1000 // WIDTH]
        for box in BOXES
    ]
    path = predictions(tmp_path / "p.jsonl", [cast(box, (1, 3)) for box in thousandths])
    asked = ["import", str(path), "--data", str(tmp_path / "built"), "--run", str(tmp_path / "run")]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "2 box conventions may fit, xyxy thousandths, yxyx thousandths" in said
    assert "No step 2 of 4 answers: box convention not known; say which one it is with --boxes" in said
    rows = joint(tmp_path / "run", tmp_path / "report")
    assert ("viou", None) not in rows
    assert ("castbench_read_qa_faithful", "exact") not in rows
    assert rows["castbench_qa_faithful", None]["mean"] == 0
    assert rows["miou", None]["mean"] == 1
    assert main([*asked, "--boxes", "yxyx-thousandths"]) == 0
    assert "(0 now)" in capsys.readouterr().out
    rows = joint(tmp_path / "run", tmp_path / "report")
    assert rows["castbench_read_qa_faithful", "exact"]["mean"] == 1
    assert rows["castbench_read_qa_spatiotemporal_iou", "exact"]["mean"] > 0.9
    assert rows["castbench_qa_faithful", None]["mean"] == 0
    assert main([*asked, "--boxes", "zigzag"]) == 2
    assert "box convention 'zigzag'; expected one of xyxy pixels, yxyx pixels" in capsys.readouterr().err


def test_without_a_frame_size_only_pixels_can_be_placed(cast_source: Path, tmp_path: Path) -> None:
    build_folder(BuildOptions("castbench", data_dir=str(cast_source)), tmp_path / "built")
    records = load_records(str(tmp_path / "built"))
    path = predictions(tmp_path / "p.jsonl", [cast([1200, 5, 1500, 40])] * 4)
    found = import_answers(path, records, tmp_path / "run")
    assert found.steps is not None
    assert "2 box conventions may fit, xyxy pixels, yxyx pixels" in found.steps.ground
    given = parse_convention("xyxy thousandths")
    assert (steps := import_answers(path, records, tmp_path / "run", boxes=given).steps) is not None
    assert steps.failures == {"frame size not known": 4}
    # the videos' headers tell it
    steps = import_answers(path, records, tmp_path / "sized", boxes=given, videos=tmp_path / "videos").steps
    assert steps is not None
    assert steps.failures == {}


def test_spans_alone_are_step_1(cast_source: Path, tmp_path: Path) -> None:
    build_folder(BuildOptions("castbench", data_dir=str(cast_source)), tmp_path / "built")
    records = load_records(str(tmp_path / "built"))
    answers = ['{"answer": "B", "time_span": ["00:01", "00:03"]}', *["B"] * 3]
    import_answers(predictions(tmp_path / "p.jsonl", answers), records, tmp_path / "run")
    assert read_json(tmp_path / "run/steps/run.json")["predict"]["steps"] == [1]
    rows = joint(tmp_path / "run", tmp_path / "report")
    assert rows["miou", None]["mean"] == pytest.approx(0.25)
    assert ("viou", None) not in rows


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared")
def test_the_publishers_figures(tmp_path: Path) -> None:
    build_folder(BuildOptions("castbench", data_dir=str(REAL)), tmp_path / "built")
    records = load_records(str(tmp_path / "built"))
    for name in PUBLISHED:
        path = REAL / f"castbench/predictions/{name}.jsonl"
        found = import_answers(path, records, tmp_path / name)
        assert (found.taken, found.left_out, found.failures) == (80, {}, {})
        judge_run(tmp_path / name, "exact")
    write_report([tmp_path / name for name in PUBLISHED], out=tmp_path / "report", frames=False)
    rows = read_json(tmp_path / "report/summary.json")["joint"]
    means = {(row["run"], row["score"]): row for row in rows}
    for name, figures in PUBLISHED.items():
        for score, figure in zip(NAMES, figures, strict=True):
            row = means[name, f"castbench_{score}"]
            assert row["mean"] == pytest.approx(figure, abs=1e-9), (name, score)
            assert row["low"] < figure < row["high"]
            assert (row["questions"], row["videos"]) == (80, 56)


def test_json_of_too_many_levels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text('{"id": "q[[[", "answer": ' + "[" * 300 + "]" * 300 + "}\n")
    with pytest.raises(InputError, match=r"deep\.jsonl:1: JSON of more than 200 levels; expected answers"):
        list(rows_of(path))
