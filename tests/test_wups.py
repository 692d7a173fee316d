"""WUPS: over a small WordNet that the tests write, and over the real one where it is installed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotasks.errors import InputError, MissingExtra
from cotasks.judge import wups as measure
from cotasks.judge.judges import judges_of, verdicts_of
from cotasks.judge.rules import judge_answer
from cotasks.judge.run import judge_run
from cotasks.judge.wups import content_words, lemma_of, likeness, load_wordnet, wups
from cotasks.report import write_report
from cotasks.runs.run import read_run
from tests.test_judge import question, write_run

nltk_data = pytest.importorskip("nltk.data", reason="nltk is not installed")

SENSES = {
    "noun": {
        "entity": "",
        "animal": "entity",
        "dog": "animal",
        "puppy": "dog",
        "cat": "animal",
        "thing": "entity",
        "ball": "thing",
        "toy": "thing",
        "running": "thing",
    },
    "verb": {"move": "", "run": "move", "sprint": "run", "jog": "run", "jump": "move", "eat": ""},
    "adj": {"happy": "", "sad": ""},
    "adv": {"quickly": ""},
}
"""{part of speech: {word: the word of the sense above it}}, a sense for each word."""
EXCEPTIONS = {"noun": ["dice die"], "verb": ["ate eat", "ran run", "running run"], "adj": ["happier happy"], "adv": []}
LETTERS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
HEADER = "  1 WordNet {} Copyright 2006 by Nobody.  All rights reserved.  \n"


def write_wordnet(folder: Path, version: str = "3.0") -> Path:
    """A WordNet of these senses, in the files and the form of wndb(5WN)."""
    folder.mkdir(parents=True)
    for pos, above in SENSES.items():
        header, letter = HEADER.format(version), LETTERS[pos]
        lines: dict[str, str] = {}
        offsets = dict.fromkeys(above, 0)
        for _ in range(2):  # the lengths of the lines do not depend on the offsets in them
            at = len(header)
            for word, parent in above.items():
                pointers = f"001 @ {offsets[parent]:08} {letter} 0000 " if parent else "000 "
                frames = "01 + 02 00 " if pos == "verb" else ""
                lines[word] = f"{at:08} 03 {letter} 01 {word} 0 {pointers}{frames}| a gloss  \n"
                offsets[word] = at
                at += len(lines[word])
        index = [
            f"{word} {letter} 1 {'1 @' if above[word] else '0'} 1 0 {offsets[word]:08}  \n" for word in sorted(above)
        ]
        (folder / f"data.{pos}").write_text(header + "".join(lines.values()))
        (folder / f"index.{pos}").write_text(header + "".join(index))
        (folder / f"{pos}.exc").write_text("".join(f"{line}\n" for line in EXCEPTIONS[pos]))
    return folder


def forget() -> None:
    for function in (measure._load, measure._wu_palmer, measure.lemma_of):
        function.cache_clear()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wordnet(tmp_path_factory.mktemp("wordnet") / "dict")


@pytest.fixture
def no_wordnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """None at hand, and none remembered."""
    monkeypatch.delenv("COTASKS_WORDNET", raising=False)
    monkeypatch.setattr(nltk_data, "path", [])
    monkeypatch.setattr(measure, "WORDNET_FOLDER", tmp_path / "nowhere")
    forget()
    yield
    forget()


@pytest.fixture
def small(no_wordnet: None, files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The WordNet of the tests."""
    monkeypatch.setenv("COTASKS_WORDNET", str(files))
    return files


def closed_form(word: str, other: str) -> float:
    """Wu and Palmer's similarity in the tree of nouns, whose top is at depth 1: 2 d / (depth + depth), with d that of
    the deepest common ancestor."""

    def path(end: str) -> list[str]:
        found = [end]
        while above := SENSES["noun"][found[-1]]:
            found.append(above)
        return found[::-1]

    ours, theirs = path(word), path(other)
    common = sum(a == b for a, b in zip(ours, theirs, strict=False))
    return 2 * common / (len(ours) + len(theirs))


def test_likeness_of_nouns_is_the_closed_form(small: Path) -> None:
    for word, other in product(SENSES["noun"], repeat=2):
        expected = closed_form(word, other)
        assert likeness(word, other, 0.0) == pytest.approx(expected)
        assert likeness(word, other, 0.9) == pytest.approx(expected if expected >= 0.9 else 0.1 * expected)


@pytest.mark.parametrize(
    ("word", "other", "expected"),
    [
        ("sprint", "jog", 4 / 6),  # below `run`, at depth 2
        ("run", "eat", 2 / 5),  # only the root above all verbs joins them: depths 1, 3 and 2
        ("run", "dog", 2 / 7),  # and a verb with whatever follows: 1, 3 and 4
        ("dog", "run", 0),  # no root is there for a noun
        ("happy", "sad", 0),  # nor for an adjective
        ("happy", "happy", 1),
        ("unheard", "unheard", 1),  # of words that WordNet lacks too
        ("unheard", "dog", 0),
    ],
)
def test_likeness_between_and_outside_the_trees(word: str, other: str, expected: float, small: Path) -> None:
    assert likeness(word, other, 0.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("word", "lemma"),
    [
        ("dogs", "dog"),
        ("puppies", "puppy"),
        ("ran", "run"),
        ("ate", "eat"),
        ("running", "run"),  # a verb, although there is a noun
        ("jumped", "jump"),
        ("happier", "happy"),
        ("dogness", "dog"),  # whose Porter stem is known
        ("unheards", "unheards"),
    ],
)
def test_lemmas(word: str, lemma: str, small: Path) -> None:
    assert lemma_of(word) == lemma


def test_stop_words_are_left_out(small: Path) -> None:
    assert content_words("he is having the dogs up there") == ["dog", "up"]
    assert content_words("no") == ["no"]


NOUNS = st.lists(st.sampled_from(list(SENSES["noun"])[:-1]), max_size=5)


def by_matrix(ours: list[str], theirs: list[str], threshold: float) -> float:
    if not ours or not theirs:
        return 0.0
    alike = np.array([[closed_form(a, b) for b in theirs] for a in ours])
    alike = np.where(alike < threshold, 0.1 * alike, alike)
    return float(min(alike.max(axis=0).prod(), alike.max(axis=1).prod()))


@settings(deadline=None)  # the first example reads the files
@given(NOUNS, NOUNS, NOUNS, st.sampled_from([0.0, 0.9]))
def test_wups_is_the_product_of_the_best_likeness(
    files: Path, ours: list[str], first: list[str], second: list[str], threshold: float
) -> None:
    """By the worse of the two directions, and the better reference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COTASKS_WORDNET", str(files))
        patch.setattr(nltk_data, "path", [str(files)])
        found = wups(" ".join(ours), [" ".join(first), " ".join(second)], "CW", threshold)
    assert found == pytest.approx(max(by_matrix(ours, first, threshold), by_matrix(ours, second, threshold)))


def test_words_without_any_likeness_are_left_out(small: Path) -> None:
    assert wups("unheard dog", ["dog"], "CW", 0.0) == 1  # from here 1 of `dog`; back 1
    assert wups("unheard", ["dog"], "CW", 0.0) == 0
    assert wups("unheard", ["unheard"], "CW", 0.0) == 1
    assert wups("for them", ["for them"], "CW", 0.0) == 0  # stop words alone


def judged(judge: str, said: str, /, **changes: Any) -> float | None:
    return judge_answer(judge, said, question(**changes)).score


def test_counting_and_yes_or_no_are_right_or_wrong(small: Path) -> None:
    for kind in ("DC", "DB"):
        asked = {"question_type": kind, "category": "descriptive", "answer": "two dogs"}
        assert judged("wups0", "2 dogs.", **asked) == 100
        assert judged("wups0", "the two dog", **asked) == 100  # articles are stop words
        assert judged("wups0", "two cats", **asked) == 0
        assert judged("wups0", "dogs two", **asked) == 0
    assert 0 < (judged("wups0", "two cats", answer="two dogs") or 0) < 100


def test_verdicts(small: Path) -> None:
    asked = {"answer": "the cat", "additional_answers": ["a puppy"]}
    assert judged("wups0", "Answer: Dogs!", **asked) == pytest.approx(100 * 6 / 7)
    assert judged("wups0.9", "Dogs!", **asked) == pytest.approx(10 * 6 / 7)
    right = judge_answer("wups0", "puppy", question(**asked))
    assert (right.score, right.correct, right.unreadable) == (100, True, False)
    for answer in ("", "I cannot tell"):
        verdict = judge_answer("wups0", answer, question(**asked))
        assert (verdict.score, verdict.correct, verdict.unreadable) == (0, False, True)
    assert judged("wups0", "dog", answer=None) is None
    assert judged("wups0", "B", choices=["dog", "cat"], answer_index=1) == 100


def test_a_run_is_judged_and_reported(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {("q0", "baseline", 0): "catch a puppy", ("q0", "cotasks", 0): "to catch the ball"}
    run = write_run(tmp_path / "run", answers)
    for judge in measure.THRESHOLDS:
        assert judge_run(run, judge).scored == 2
        assert judge_run(run, judge).kept == 2
    monkeypatch.delenv("COTASKS_WORDNET")
    forget()
    assert judges_of(run) == ["wups0", "wups0.9"]  # what is judged reads without WordNet
    scores = {key[1]: verdict.score for key, verdict in verdicts_of(read_run(run), "wups0").items()}
    assert scores == {"baseline": pytest.approx(100 * 2 / 7), "cotasks": 100}
    text = write_report([run]).markdown.read_text()
    assert "judge wups0.9" in text
    assert "WUPS" in text


def test_without_wordnet_nothing_is_written(no_wordnet: None, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {("q0", "baseline", 0): "a dog"})
    with pytest.raises(InputError, match=r"nltk\.downloader wordnet.*wordnet-base.*COTASKS_WORDNET"):
        judge_run(run, "wups0")
    assert not (run / "verdicts").exists()


def test_without_nltk(no_wordnet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"cotasks\[wups\]"):
        load_wordnet()


@pytest.mark.parametrize(
    ("fault", "message"),
    [("version", "WordNet 2.1; expected 3.0"), ("file", "not WordNet 3.0"), ("folder", "no such folder")],
)
def test_a_folder_that_is_no_wordnet(
    fault: str, message: str, no_wordnet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "dict"
    if fault != "folder":
        write_wordnet(folder, "2.1" if fault == "version" else "3.0")
    if fault == "file":
        (folder / "index.verb").unlink()
    monkeypatch.setenv("COTASKS_WORDNET", str(folder))
    with pytest.raises(InputError, match=message):
        load_wordnet()


@pytest.mark.parametrize("zipped", [False, True])
def test_the_data_of_nltk_is_found(
    zipped: bool, no_wordnet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora = tmp_path / "data" / "corpora"
    folder = write_wordnet(corpora / "wordnet")
    if zipped:
        with zipfile.ZipFile(corpora / "wordnet.zip", "w") as archive:
            archive.mkdir("wordnet")
            for path in sorted(folder.iterdir()):
                archive.write(path, f"wordnet/{path.name}")
                path.unlink()
        folder.rmdir()
    monkeypatch.setattr(nltk_data, "path", [str(tmp_path / "data")])
    assert likeness("dog", "cat", 0.0) == pytest.approx(2 / 3)


def test_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    try:
        load_wordnet()
    except InputError as error:
        pytest.skip(str(error))
    assert likeness("dog", "cat", 0.0) == pytest.approx(24 / 28)  # `carnivore` at depth 12 of 14 each
    assert content_words("playing with the two babies") == ["play", "two", "baby"]
    assert content_words("he was happier") == ["happy"]
    assert wups("holding a dog", ["hold the cat"], "CW", 0.0) == pytest.approx(24 / 28)
    assert wups("holding a dog", ["hold the cat"], "CW", 0.9) == pytest.approx(2.4 / 28)
    forget()
