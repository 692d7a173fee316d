"""NExT-QA's files: every quirk of the CSVs, the map and the second answers; record ids."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.readers.checks import is_number, unique_ids
from cotasks.builders.readers.nextqa import (
    CHOICES,
    COLUMNS,
    TYPES,
    read_additional_answers,
    read_questions,
    read_video_map,
)
from cotasks.errors import InputError
from cotasks.records.annotation import Question, Skipped

VIDEO_MAP = {"11": "0001/11", "22": "1200/22"}
OE: dict[str, Any] = {
    "video": "11",
    "frame_count": 300,
    "width": 640,
    "height": 480,
    "question": "why did the baby cry",
    "answer": "hungry",
    "qid": 4,
    "type": "CW",
}
MC: dict[str, Any] = {**OE, "answer": 2, "a0": "tired", "a1": "cold", "a2": "hungry", "a3": "wet", "a4": "alone"}


def write(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "questions.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def read(path: str, multiple_choice: bool = False, **options: Any) -> tuple[list[Question], list[Skipped]]:
    return read_questions(path, "validation", VIDEO_MAP, multiple_choice=multiple_choice, **options)


def test_open_ended_row(tmp_path: Path) -> None:
    path = write(tmp_path, OE)
    (question,), skipped = read(path)
    assert not skipped
    assert question == Question(
        id="nextqa/validation/11/4",
        source="nextqa",
        question_type="CW",
        video_id="11",
        video_path="0001/11.mp4",
        question="why did the baby cry",
        answer="hungry",
        additional_answers=(),
        choices=(),
        answer_index=-1,
        place=f"{path}:2",
        qid="4",
        size=(300, 640, 480),
        category="causal",
    )


def test_multiple_choice_row(tmp_path: Path) -> None:
    (question,), skipped = read(write(tmp_path, MC), multiple_choice=True)
    assert not skipped
    assert question.id == "nextqa/validation/11/4"  # the same as of the open-ended question
    assert (question.answer, question.answer_index) == ("hungry", 2)
    assert question.choices == ("tired", "cold", "hungry", "wet", "alone")


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "none", "nothing", "None", "nan", "NA", "two", "1", "0", "1.0", "true", "baby s mouth", "是？"],
)
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    (question,), _ = read(write(tmp_path, {**OE, "answer": text, "question": text}))
    assert (question.answer, question.question) == (text, text)


def test_blanks_are_taken_off_at_both_ends_only(tmp_path: Path) -> None:
    row = {**OE, "question": "  what  is \tthis ", "answer": " a  cup ", "video": " 11", "type": "TN "}
    (question,), _ = read(write(tmp_path, row))
    assert (question.question, question.answer, question.video_id, question.question_type) == (
        "what  is \tthis",
        "a  cup",
        "11",
        "TN",
    )


def test_full_width_mark_mojibake_quotes_and_commas(tmp_path: Path) -> None:
    row = {**OE, "question": 'why， "so"？ â€™', "answer": "one, two"}
    (question,), _ = read(write(tmp_path, row))
    assert (question.question, question.answer) == ('why， "so"？ â€™', "one, two")


@pytest.mark.parametrize("kind", TYPES)
def test_types(tmp_path: Path, kind: str) -> None:
    (question,), _ = read(write(tmp_path, {**OE, "type": kind}))
    assert question.question_type == kind
    questions, skipped = read(write(tmp_path, {**MC, "type": kind}), multiple_choice=True)
    if kind == "DB":  # binary questions are open-ended only
        assert not questions
        assert [s.reason for s in skipped] == ["unknown type"]
    else:
        assert [q.question_type for q in questions] == [kind]


def test_types_are_the_nine_of_the_paper() -> None:
    assert set(TYPES) == {"CW", "CH", "TN", "TC", "TP", "DC", "DL", "DO", "DB"}


BAD_ROWS = [
    ({"frame_count": "30x"}, "not a whole number", "frame_count is '30x'"),
    ({"width": "0"}, "not a whole number", "width is '0'"),
    ({"height": ""}, "not a whole number", "height is ''"),
    ({"height": "-480"}, "not a whole number", "height is '-480'"),
    ({"width": "640.0"}, "not a whole number", "width is '640.0'"),
    ({"frame_count": "٣"}, "not a whole number", "frame_count"),
    ({"qid": "q1"}, "not a whole number", "qid is 'q1'"),
    ({"type": "XX"}, "unknown type", "type is 'XX'"),
    ({"type": "Interaction"}, "unknown type", "type is 'Interaction'"),
    ({"question": " "}, "empty text", "question is empty"),
    ({"answer": ""}, "empty text", "answer is empty"),
    ({"video": "33"}, "video not in the video map", "'33'"),
]


@pytest.mark.parametrize(("change", "reason", "words"), BAD_ROWS)
def test_a_bad_row_is_skipped_alone(tmp_path: Path, change: dict[str, str], reason: str, words: str) -> None:
    good = {**OE, "qid": 7}
    path = write(tmp_path, good, {**OE, **change}, {**good, "qid": 8})
    questions, (skipped,) = read(path)
    assert [q.qid for q in questions] == ["7", "8"]
    row = {**OE, **change}
    assert skipped.id == f"nextqa/validation/{row['video']}/{row['qid']}"
    assert skipped.reason == reason
    assert words in skipped.detail
    assert skipped.detail.startswith(f"{path}:3: ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "5"}, "answer out of range"),
        ({"answer": "-1"}, "answer out of range"),
        ({"answer": "hungry"}, "answer out of range"),  # text belongs to the variant with `video_id`
        ({"a3": ""}, "empty text"),
    ],
)
def test_bad_multiple_choice_row(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    questions, (skipped,) = read(write(tmp_path, {**MC, "qid": 1}, {**MC, **change}), multiple_choice=True)
    assert [q.qid for q in questions] == ["1"]
    assert (skipped.reason, skipped.id) == (reason, "nextqa/validation/11/4")


@pytest.mark.parametrize("line", ["11,300,640,480,why,because,9", "11,300,640,480,why,because,9,CW,more", "   "])
def test_wrong_number_of_cells(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, OE, {**OE, "qid": 5})
    Path(path).write_text(Path(path).read_text().replace("11,300", f"{line}\n11,300", 1))
    questions, (skipped,) = read(path)
    assert [q.qid for q in questions] == ["4", "5"]
    assert skipped.reason == "wrong number of cells"
    assert skipped.id == ("nextqa/validation/?/?" if not line.strip() else "nextqa/validation/11/9")


def test_empty_lines_and_a_missing_last_line_feed(tmp_path: Path) -> None:
    path = write(tmp_path, OE, {**OE, "qid": 5})
    Path(path).write_text(Path(path).read_text().replace("11,300", "\n11,300").rstrip("\n"))
    questions, skipped = read(path)
    assert [(q.qid, q.place) for q in questions] == [("4", f"{path}:3"), ("5", f"{path}:5")]
    assert not skipped


def test_repeated_choice_text_is_no_fault_where_the_answer_is_a_number(tmp_path: Path) -> None:
    (question,), skipped = read(write(tmp_path, {**MC, "a4": "hungry", "answer": 4}), multiple_choice=True)
    assert not skipped
    assert (question.answer_index, question.answer) == (4, "hungry")


def test_variant_with_video_id_and_answer_as_text(tmp_path: Path) -> None:
    def variant(**change: Any) -> dict[str, Any]:
        row = {**MC, **change}
        return {"video_id": row.pop("video"), **row}

    rows = [
        variant(answer=" wet ", qid=0),
        variant(answer="hungry", qid=1, a0="hungry"),
        variant(answer="dry", qid=2),
        variant(answer="1", qid=3, a4="1"),
        variant(answer="wet", qid=4, a0="cold"),
    ]
    questions, skipped = read(write(tmp_path, *rows), multiple_choice=True)
    assert [(q.qid, q.answer_index, q.answer) for q in questions] == [("0", 3, "wet"), ("3", 4, "1"), ("4", 3, "wet")]
    assert [(s.id[-1], s.reason) for s in skipped] == [
        ("1", "answer stands twice among the choices"),
        ("2", "answer not among the choices"),
    ]
    with pytest.raises(InputError, match="no column 'video'"):
        read(write(tmp_path, {k: v for k, v in variant().items() if k not in CHOICES}))


@pytest.mark.parametrize("column", COLUMNS)
def test_missing_column(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, {k: v for k, v in OE.items() if k != column})
    with pytest.raises(InputError, match=f"questions.csv:1: no column '{column}'"):
        read(path)


def test_files_of_the_other_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not belong here"):
        read(write(tmp_path, MC))  # would give answers "2"
    with pytest.raises(InputError, match="no column 'a0'"):
        read(write(tmp_path, OE), multiple_choice=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (",".join(COLUMNS).encode() + b"\n11,300,640,480,why \xff,yes,1,CW\n", "not UTF-8"),
        (",".join(COLUMNS).encode() + b'\n11,300,640,480,"why,yes,1,CW\n11,300,640,480,w,y,2,CW\n', ":2: "),
        (",".join(COLUMNS).encode() + b'\n11,300,640,480,"why\nnot",yes,1,CW\n', ":2: a quoted cell runs on"),
        (",".join(COLUMNS).encode() + b'\n11,300,640,480,"why" not,yes,1,CW\n', ":2: not CSV"),
    ],
)
def test_damaged_file(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "damaged.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(str(path))
    assert str(caught.value).startswith(f"{path}:")
    assert words in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    path = str(tmp_path / "none.csv")
    for reader in (read, read_video_map, read_additional_answers):
        with pytest.raises(InputError, match=r"none\.csv: no such file"):
            reader(path)


def test_columns_in_another_order(tmp_path: Path) -> None:
    (question,), _ = read(write(tmp_path, {k: OE[k] for k in reversed(COLUMNS)}))
    assert (question.video_id, question.size) == ("11", (300, 640, 480))


def test_shifted_numbers_are_passed_on_for_the_annotation_to_judge(tmp_path: Path) -> None:
    row = {**MC, "frame_count": 1138, "width": 646, "height": 640}  # as in the test file, video 7964565242
    (question,), _ = read(write(tmp_path, row), multiple_choice=True)
    assert question.size == (1138, 646, 640)


def test_additional_answers(tmp_path: Path) -> None:
    path = tmp_path / "more.json"
    path.write_text(json.dumps({"11": {"4": " needs milk "}, "22": {}}))
    more = read_additional_answers(str(path))
    assert more == {"11": {"4": ["needs milk"]}}
    rows = write(tmp_path, OE, {**OE, "qid": 5}, {**OE, "video": "22"})
    questions, _ = read(rows, additional_answers=more)
    assert [q.additional_answers for q in questions] == [("needs milk",), (), ()]
    mc = write(tmp_path, MC)
    assert read(mc, multiple_choice=True, additional_answers=more)[0][0].additional_answers == ()


@pytest.mark.parametrize("content", ["[]", '{"1": "a"}', '{"1": {"2": 3}}', '{"1": {"2": " "}}', '{"1": ', "nan"])
def test_bad_additional_answers(tmp_path: Path, content: str) -> None:
    path = tmp_path / "more.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"more\.json: "):
        read_additional_answers(str(path))


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"11": 3}',
        '{"11": "11"}',
        '{"11": "001/11"}',
        '{"11": "0001/12"}',
        '{"..": "0001/.."}',
        '{"/a": "0001//a"}',
        "{",
    ],
)
def test_bad_video_map(tmp_path: Path, content: str) -> None:
    path = tmp_path / "map.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"map\.json: "):
        read_video_map(str(path))


def hash8(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


def test_colliding_ids(tmp_path: Path) -> None:
    rows = [
        OE,
        {**OE, "answer": "tired"},
        {**OE, "qid": 5},
        {**OE, "qid": 6, "type": "XX"},
        {**OE, "qid": 6, "answer": "wet"},
        {**OE, "qid": 7},
        {**OE, "qid": 7},
        {**OE, "qid": 7},
    ]
    questions, skipped = read(write(tmp_path, *rows))
    base, text = "nextqa/validation/11", OE["question"]
    assert [q.id for q in questions] == [
        f"{base}/4-{hash8(text, 'hungry')}",
        f"{base}/4-{hash8(text, 'tired')}",
        f"{base}/5",
        f"{base}/6-{hash8(text, 'wet')}",
        f"{base}/7-{hash8(text, 'hungry')}",
        f"{base}/7-{hash8(text, 'hungry')}-2",
        f"{base}/7-{hash8(text, 'hungry')}-3",
    ]
    assert [s.id for s in skipped] == [f"{base}/6-{hash8(text, 'hungry')}"]


def test_colliding_multiple_choice_ids(tmp_path: Path) -> None:
    # the hash takes the answer's text, and the choices where that is not enough
    rows = [MC, {**MC, "answer": 3}, {**MC, "qid": 5}, {**MC, "qid": 5, "a0": "warm"}]
    questions, _ = read(write(tmp_path, *rows), multiple_choice=True)
    base, text = "nextqa/validation/11", MC["question"]
    assert [q.id for q in questions] == [
        f"{base}/4-{hash8(text, 'hungry')}",
        f"{base}/4-{hash8(text, 'wet')}",
        f"{base}/5-{hash8(text, 'hungry', 'tired', 'cold', 'hungry', 'wet', 'alone')}",
        f"{base}/5-{hash8(text, 'hungry', 'warm', 'cold', 'hungry', 'wet', 'alone')}",
    ]


row_texts = st.tuples(
    st.sampled_from(["v/1", "v/2", f"v/1-{hash8('a', 'b')}", f"v/1-{hash8('a', 'b')}-2"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["a", "b"]),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
)


@given(st.lists(row_texts, max_size=12))
def test_ids_are_unique_and_plain_where_alone(rows: list[tuple[str, str, str, list[str]]]) -> None:
    bases = [base for base, *_ in rows]
    ids = unique_ids(bases, [(q, a, c) for _, q, a, c in rows])
    assert len(set(ids)) == len(ids) == len(rows)
    assert all(name.startswith(base) for name, base in zip(ids, bases, strict=True))
    count = Counter(bases)
    assert all(name == base for name, base in zip(ids, bases, strict=True) if count[base] == 1)
    assert ids == unique_ids(bases, [(q, a, c) for _, q, a, c in rows])


@given(st.lists(st.tuples(st.sampled_from("12"), st.text("ab", min_size=1, max_size=2)), max_size=8))
def test_no_two_rows_of_a_file_share_an_id(tmp_path_factory: Any, rows: list[tuple[str, str]]) -> None:
    path = write(tmp_path_factory.mktemp("csv"), *[{**OE, "qid": q, "answer": a} for q, a in rows], {**OE, "type": "?"})
    questions, skipped = read(path)
    assert len({q.id for q in questions} | {s.id for s in skipped}) == len(rows) + 1


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20),
            st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_text_comes_through(tmp_path_factory: Any, texts: list[tuple[str, str]]) -> None:
    rows = [{**OE, "qid": i, "question": q, "answer": a} for i, (q, a) in enumerate(texts)]
    questions, skipped = read(write(tmp_path_factory.mktemp("csv"), *rows))
    assert not skipped
    assert [(q.question, q.answer) for q in questions] == texts


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\n" + data)
    try:
        questions, skipped = read(str(path))
    except InputError as error:
        message = str(error)
    else:
        message = ""
        filled = [row for row in csv.reader(io.StringIO(data.decode(), newline="")) if row]
        assert len(questions) + len(skipped) == len(filled)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), (-0.5, True), (True, False), ("1", False), (None, False), (float("nan"), False), (10**400, False)],
)
def test_is_number(value: object, expected: bool) -> None:
    assert is_number(value) is expected


def test_real_files(realdata: Path) -> None:
    video_map = read_video_map(str(realdata / "nextqa/map_vid_vidorID.json"))
    assert len(video_map) == 10_000
    assert video_map["2909445186"] == "0101/2909445186"
    for name, multiple_choice, rows, videos in (
        ("oe/train", False, 37_523, 3_870),
        ("oe/val", False, 5_343, 570),
        ("mc/val", True, 4_996, 570),
    ):
        path = str(realdata / f"nextqa/{name}.csv")
        questions, skipped = read_questions(path, "train", video_map, multiple_choice=multiple_choice)
        assert not skipped
        assert len(questions) == len({q.id for q in questions}) == rows
        assert len({q.video_id for q in questions}) == videos
        hashed = Counter((q.video_id, q.qid) for q in questions if "-" in q.id)
        if name == "oe/train":
            assert hashed == {("4598213889", "2"): 2, ("4598213889", "5"): 2, ("3617262562", "2"): 2}
        else:
            assert not hashed


def test_real_rows(realdata: Path) -> None:
    video_map = read_video_map(str(realdata / "nextqa/map_vid_vidorID.json"))
    path = str(realdata / "nextqa/mc/val.csv")
    questions = {q.id: q for q in read_questions(path, "validation", video_map, multiple_choice=True)[0]}
    question = questions["nextqa/validation/4882821564/1"]
    assert question.question == "why did the boy pick up one present from the group of them and move to the sofa"
    assert (question.answer_index, question.answer, question.size) == (2, "unwrap it", (2697, 640, 480))
    # three rows repeat the text of a choice
    repeated = [q for q in questions.values() if len(set(q.choices)) < 5]
    assert len(repeated) == 3
    assert all(q.answer == q.choices[q.answer_index] for q in repeated)
