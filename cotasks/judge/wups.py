"""WUPS, the measure of NExT-QA's open-ended questions: how near the words of two answers are to each other in WordNet.

The definition is that of the task's own evaluation (`eval_oe.py`, `metrics.py` and `stopwords.txt` of
https://github.com/doc-doc/NExT-OE, commit 14567165; Xiao et al. 2021, section 5), after Malinowski and Fritz (2014):

- Answer and reference are split into words, each word is lemmatised, and the stop words (`STOP_WORDS`) are taken out.
- Two words are 1 alike where they are the same, whether WordNet has them or not. Else it is the similarity of Wu and
  Palmer (1994) of their first senses, nouns before verbs before adjectives before adverbs; 0 where WordNet lacks one
  of them, or nothing joins the two. Where the first word's sense is a verb, a root above all verbs joins it to
  whatever the other is, else none does: that is how the NLTK of that time had it. Below the threshold (0 or 0.9) it
  counts a tenth.
- From one text to the other: each word's best likeness to a word of the other, multiplied; words without any are
  left out, and it is 0 where all are. The score is the smaller of the two directions, and of two references the
  better one counts.
- Questions that count things or want a yes or no (`EXACT_TYPES`) are right or wrong: the words that are left must be
  the same, in order.

So an answer to a reference of stop words alone scores 0, as there. Two things differ, for the original takes words as
annotators typed them, and a tagger's guess of each word's part of speech:

- Texts are brought to `answers.normalise`'s form first, so that "Two." equals "two".
- The lemma is the same wherever the word stands (`lemma_of`).

With a tagger these rules give the published figures of the answers that repository holds (HGA on val: causal 14.76,
temporal 14.90, descriptive 46.60, all 21.48); without it they give 14.78, 14.89, 46.50 and 21.46, with 95% of the
answers' scores the same.

Needs WordNet 3.0, as the original does: see `load_wordnet`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from io import StringIO
from math import prod
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, MissingExtra, shorten

THRESHOLDS = {"wups0": 0.0, "wups0.9": 0.9}
"""The judges, and the likeness below which one of two words counts a tenth."""
BELOW_THRESHOLD = 0.1
EXACT_TYPES = frozenset({"DC", "DB"})
"""Question types whose answers are right or wrong: descriptive, count and yes or no."""

_STOP_WORDS = """
    i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself
    it its itself they them their theirs themselves this that these those what which who whom
    am is are was were be been being have has had having do does did doing will can just should now
    a an the and but if or because as until while of at for with about into through during to from
    again further then here there when where why how all any each most other some such only own so than too very
    s t d ll m o re ve y don ain aren couldn didn doesn hadn hasn haven isn ma mightn mustn needn shan shouldn wasn
    weren won wouldn
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""The task's list, as far as a text in normal form can hold its words. It is the usual English one, less the words
that answers turn on: places and directions (in, on, up, down), before and after, both, few, no, not."""

VERSION = "3.0"
WORDNET_FOLDER = Path("/usr/share/wordnet")
"""Where Debian's and Ubuntu's package wordnet-base puts WordNet 3.0."""
LEXICOGRAPHER_FILES = 45
"""WordNet 3.0's, see its lexnames(5)."""


def wups(answer: str, references: Sequence[str], question_type: str, threshold: float) -> float:
    """WUPS of an answer, 0 to 1, by the best of the references.

    Args:
        answer: In normal form (`answers.normalise`), as the references are.
        references: One or more.
        question_type: NExT-QA's code; of other data sets, any name.
        threshold: 0 or 0.9.

    Raises InputError as of `load_wordnet`.
    """
    ours = content_words(answer)
    return max(_to_reference(ours, content_words(text), question_type, threshold) for text in references)


def _to_reference(ours: Sequence[str], theirs: Sequence[str], question_type: str, threshold: float) -> float:
    if question_type in EXACT_TYPES:
        return float(ours == theirs)
    return min(_one_way(ours, theirs, threshold), _one_way(theirs, ours, threshold))


def _one_way(words: Sequence[str], others: Sequence[str], threshold: float) -> float:
    best = [max((likeness(word, other, threshold) for other in others), default=0.0) for word in words]
    found = [value for value in best if value]
    return prod(found) if found else 0.0


def likeness(word: str, other: str, threshold: float) -> float:
    """Of two words, 0 to 1; below the threshold a tenth of it."""
    value = _wu_palmer(word, other)
    return value if value >= threshold else BELOW_THRESHOLD * value


@lru_cache(maxsize=1 << 18)
def _wu_palmer(word: str, other: str) -> float:
    if word == other:
        return 1.0
    wordnet = load_wordnet()
    senses, others = wordnet.synsets(word), wordnet.synsets(other)
    if not senses or not others:
        return 0.0
    return senses[0].wup_similarity(others[0], simulate_root=senses[0].pos() == "v") or 0.0


def content_words(text: str) -> list[str]:
    """Lemmas of a text in normal form, without those that are stop words."""
    return [lemma for lemma in map(lemma_of, text.split()) if lemma not in STOP_WORDS]


@lru_cache(maxsize=1 << 16)
def lemma_of(word: str) -> str:
    """A word's shortest base form in WordNet; where WordNet does not know the word, its Porter stem if it knows that,
    else the word.

    As a verb first where it ends in "ing" or "ed", or is "was", "has" or "does"; else, and where it is no verb, as a
    noun, a verb, an adjective and an adverb.
    """
    from nltk.stem import PorterStemmer

    wordnet = load_wordnet()
    is_verb = word.endswith(("ing", "ed")) or word in ("was", "has", "does")
    for pos in "vnar" if is_verb else "nvar":
        if forms := wordnet._morphy(word, pos):  # as NLTK's own lemmatizer, which knows no folder but NLTK's
            return str(min(forms, key=len))
    stem = str(PorterStemmer().stem(word))
    return stem if wordnet.synsets(stem) else word


def load_wordnet() -> Any:
    """WordNet 3.0 as an `nltk.corpus.reader.WordNetCorpusReader`, from the first of these: the folder that the
    environment's COTASKS_WORDNET names, the data of NLTK, `WORDNET_FOLDER`.

    Raises MissingExtra without nltk, and InputError where there is no WordNet, or another version.
    """
    return _load(os.environ.get("COTASKS_WORDNET", ""))


@cache
def _load(named: str) -> Any:
    if find_spec("nltk") is None:
        raise MissingExtra("nltk", "wups")
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader, WordNetError

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        """Reads also what Princeton and Debian ship, not only NLTK's own package."""

        def open(self, file: str) -> Any:
            if file == "lexnames":  # of no use here, and not in every package
                return StringIO("".join(f"{number:02} file{number:02} 0\n" for number in range(LEXICOGRAPHER_FILES)))
            return super().open(file)

        def map_wn(self, version: str = "wordnet") -> None:
            """No map to other versions, for which NLTK's package would have to be there too."""

    place = _find(named)
    if isinstance(place, Path):
        nltk.data.path.append(str(place))  # NLTK opens no file elsewhere
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is but English
            found = Reader(str(place) if isinstance(place, Path) else place, None)
        version = found.get_version()
    except (AssertionError, LookupError, OSError, ValueError, WordNetError) as error:
        raise InputError(f"{place}: not WordNet {VERSION}: {error}") from None
    if version != VERSION:
        raise InputError(f"{place}: WordNet {version}; expected {VERSION}, which NExT-QA's figures are made with")
    return found


def _find(named: str) -> Any:
    """The folder, or NLTK's own way of naming one in an archive. Raises InputError where there is none."""
    import nltk.data

    if named:
        if not Path(named).is_dir():
            raise InputError(f"COTASKS_WORDNET {shorten(named)}: no such folder; expected WordNet's data.noun in it")
        return Path(named)
    for name in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        try:
            return nltk.data.find(name)
        except LookupError:
            continue
    if WORDNET_FOLDER.is_dir():
        return WORDNET_FOLDER
    raise InputError(
        f"WordNet {VERSION} is not at hand; run `python -m nltk.downloader wordnet` or `apt-get install wordnet-base`, "
        "or name its folder in COTASKS_WORDNET"
    )
