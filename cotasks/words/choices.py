r"""The option that a free answer names, or why it names none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Literal

from cotasks.words import cues
from cotasks.words.mentions import Mention, mentions, sentences
from cotasks.words.normal import as_written, begins, end_of, normalise
from cotasks.words.packaging import fields, own_turn, unformatted
from cotasks.words.silence import is_blank, is_refusal

How = Literal["letter", "text", "ambiguous", "refusal", "blank", "none"]
SHORT = 60
"""Words. In a longer text, options that are merely named count in its last sentence only."""
MOST = 400
"""Mentions that are weighed."""
LONGEST = 20_000
"""Characters of an answer that are read."""
NEAR = 4
"""Two declarations with fewer words between them contradict each other, unless a word says that the second is the
result ("so", "wait")."""


@dataclass(frozen=True)
class Choice:
    """Which option an answer names."""

    index: int | None
    """Position of the option from 0; None where the answer names none, or more than one."""
    how: How
    """`letter` or `text`; or why there is no index: `ambiguous` (two options), `refusal`, `blank`, `none`."""


def read_choice(answer: str, choices: Sequence[str]) -> Choice:
    r"""The option that an answer names, as a person reads it. What cannot be told is not guessed.

    Options are named by letter or by text. Texts are compared in normal form (`normalise`).

    1. Packaging comes off first (`packaging.own_turn`, `packaging.unformatted`): special tokens, thoughts, tags, turns
       that the model went on to invent, Markdown, LaTeX, full-width letters. Of JSON or a Python dictionary, the value
       of "answer" or the like is read.
    2. An answer that is an option as it is written, but for case, blanks and a final stop, names that option; a letter
       and nothing else is the letter, for the prompt asks for letters.
    3. What is declared last decides: "the answer is B", "I'd go with (B)", "so B", "B because", "B is correct",
       \boxed{B}, "答案是 B", "La respuesta es B", a letter alone in its line, a letter with its option's text, an
       option's text alone in its line or after "the answer is". A small letter counts alone in its line, and after
       "answer:". Two declarations contradict each other where only a few words stand between them; where the first is
       all that the first line says, and nothing says that it was wrong; and where both options are called correct.
    4. A list of the options declares nothing, unless it calls all wrong but one.
    5. An option that is negated, ruled out or called wrong is not meant; where all but one are, that one is.
    6. A refusal names no option.
    7. Then an option that is pointed to ("this matches B"), that is merely named ("option B", "(B)", "maybe B"), or
       whose text occurs and is not denied: if there is but one. In long texts the last sentence must name it.

    Questions ("Is it B?"), conditions ("if ..., it would be B") and what others might choose declare nothing. Options
    with one text count as the first of them, unless a letter tells which. Where a letter and the option's text beside
    it do not belong together, the answer is `ambiguous`, as where two options with different texts are named.

    Args:
        answer: What the model said.
        choices: The options' texts in the order of their letters, at most 26.
    """
    options = [normalise(choice) for choice in choices]
    text = _shortened(own_turn(answer))
    found, declared = _read(text, choices, options)
    if declared:
        return found
    whole = _shortened(own_turn(answer, whole=True))
    rest = f" {normalise(whole[len(text) :])} "
    repeats = sum(f" {option} " in rest for option in set(options) if option) >= 2
    return _read(whole, choices, options)[0] if repeats else found  # it repeats the question before it answers


def _shortened(text: str) -> str:
    """The beginning and the end of a text that is longer than anyone answers, such as one that repeats itself."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 4]}\n{text[-LONGEST // 4 * 3 :]}"


def _read(text: str, choices: Sequence[str], options: Sequence[str]) -> tuple[Choice, bool]:
    """What a text names, and whether it declares it."""
    if is_blank(text):
        return Choice(None, "blank"), False
    if told := _read_fields(text, choices, options):
        return told, True
    flat = _letters_for_ordinals(unformatted(text), len(options))
    letter = re.fullmatch(r"\W*([A-Za-z])\W*", flat)
    written = [as_written(choice) for choice in choices]
    if as_written(text) in written and not (letter and ascii_uppercase.index(letter[1].upper()) < len(options)):
        return Choice(written.index(as_written(text)), "text"), True
    found = mentions(flat, options)
    found = found if len(found) <= MOST else [*found[: MOST // 4], *found[-MOST // 4 * 3 :]]
    found = sorted(
        [*_unlisted(found, flat, options), *_texts_declared(flat, options, found)], key=lambda mention: mention.start
    )
    unfinished = cues.UNFINISHED.search(flat) is not None
    if any(mention.role == "declared" and not (mention.weighed and unfinished) for mention in found):
        return _last(found, flat, options), True
    rejected = _all_of(mention for mention in found if mention.role == "rejected")
    left = {options[i] for i in range(len(options)) if i not in rejected}
    if rejected and len(left) == 1:
        return Choice(options.index(left.pop()), "letter"), True
    if is_refusal(text):
        return Choice(None, "refusal"), False
    return (Choice(None, "none") if unfinished else _merely_named(found, flat, options, rejected)), False


def _merely_named(found: Sequence[Mention], flat: str, options: Sequence[str], rejected: frozenset[int]) -> Choice:
    """The one option that an answer names without declaring it."""
    short = len(flat.split()) <= SHORT
    parts = list(sentences(flat))
    sentence = 0 if short or not parts else parts[-1].start
    paragraph = 0 if short else flat.rstrip().rfind("\n") + 1
    first = parts[0].start + len(parts[0].text) if parts else 0
    likely = [_with_texts(mention, options) for mention in found if mention.role == "likely"]
    doubted = [
        _with_texts(m, options)
        for m in found
        if m.role == "doubted" and not cues.GIVES_UP.search(flat[m.end :].lower())
    ]
    listed = [mention for mention in found if mention.role == "listed"]
    for named, since in ((likely, paragraph), (doubted, sentence), (listed, sentence)):
        where = any(mention.end > since or (mention.role == "likely" and mention.end <= first) for mention in named)
        left = _all_of(named) - rejected if where else frozenset()
        if left:
            return _decide(left, "letter", options)
    if parts and (alone := normalise(parts[-1].text)) in options and not parts[-1].text.rstrip().endswith("?"):
        return Choice(options.index(alone), "text")
    result = flat[sentence:].lower()
    by_text = _named_by_text(flat[sentence:], options) - rejected
    if by_text and (short or (cues.CONCLUDES.search(result) and not cues.ITEM_WRONG.search(result))):
        return _decide(by_text, "text", options)
    if (
        not listed
        and len(by_text := _named_by_text(flat, options)) == 1
        and by_text == _named_by_text(flat[:first], options)
    ):
        return _decide(by_text, "text", options)
    return Choice(None, "ambiguous" if listed else "none")


def _all_of(found: Iterable[Mention]) -> frozenset[int]:
    return frozenset[int]().union(*(mention.options for mention in found))


def _read_fields(text: str, choices: Sequence[str], options: Sequence[str]) -> Choice | None:
    """The reading of JSON or a Python dictionary; None where there is none. Its values are to agree."""
    found = fields(text)
    if not found:
        return None
    read = [_read(value, choices, options)[0] if value else Choice(None, "none") for _, _, value in found]
    told = {choice.index for choice in read if choice.index is not None}
    if any(choice.how == "ambiguous" for choice in read) or len(told) > 1:
        return Choice(None, "ambiguous")
    return next((choice for choice in read if choice.index is not None), read[-1])


def _letters_for_ordinals(text: str, count: int) -> str:
    """The text with "option C" for "the third option"."""

    def letter(match: re.Match[str]) -> str:
        number = cues.ORDINAL_NUMBERS.get(match[1].lower(), count - 1)
        return f"option {ascii_uppercase[number]}" if number < count else match[0]

    return cues.ORDINALS.sub(letter, text)


# -- lists of options


def _unlisted(found: Sequence[Mention], flat: str, options: Sequence[str]) -> list[Mention]:
    """The mentions, those that are labels by what the list, or a label that stands for itself, says."""
    runs: list[list[Mention]] = []
    for mention in found:
        if mention.role == "listed":
            if runs and min(mention.options) > min(runs[-1][-1].options) and not _stands_alone(runs[-1], mention, flat):
                runs[-1].append(mention)
            else:
                runs.append([mention])
    others = [mention for mention in found if mention.role != "listed"]
    for run in runs:
        others += [_single(run[0], flat, options)] if len(run) == 1 else _items(run, flat, options)
    return others


def _stands_alone(run: Sequence[Mention], mention: Mention, flat: str) -> bool:
    """Whether a label in the first line begins no list, but is the answer: an explanation follows, or more prose."""
    between = flat[run[0].end : mention.start]
    prose = "\n" in between.strip(" ") and not mention.alone
    return len(run) == 1 and _is_first(run[0], flat) and (prose or cues.EXPLAINS.search(between) is not None)


def _is_first(mention: Mention, flat: str) -> bool:
    return "\n" not in flat[: mention.start].strip() and not re.search(r"[^\W_]", flat[: mention.start])


def _single(mention: Mention, flat: str, options: Sequence[str]) -> Mention:
    """A label that stands for itself: an answer in the first line, or with its option's text and no more."""
    own = options[min(mention.options)]
    if _is_first(mention, flat) or (own and normalise(mention.beside[0]) == own):
        return replace(mention, role="declared", alone=begins(normalise(mention.beside[0]), own))
    if verdict := _verdict_on(mention, mention.end, flat, options):
        return replace(mention, role="rejected" if verdict == "wrong" else "likely", beside=())
    last = mention.alone and "\n" not in flat[mention.end :].strip() and not flat[mention.end :].startswith("\n")
    return replace(mention, role="likely" if last or not flat[mention.end :].strip() else "doubted")


def _items(run: Sequence[Mention], flat: str, options: Sequence[str]) -> list[Mention]:
    """What a list says of its items: all are wrong but one, or one alone is right; else no more than their names."""
    ends = [*(mention.start for mention in run[1:]), len(flat)]
    ends = [
        mention.start + len(flat[mention.start : end].split("\n\n")[0]) for mention, end in zip(run, ends, strict=True)
    ]
    said = [_verdict_on(mention, end, flat, options) for mention, end in zip(run, ends, strict=True)]
    found = [replace(mention, end=end) for mention, end in zip(run, ends, strict=True)]
    found = [replace(m, role="rejected") if verdict == "wrong" else m for m, verdict in zip(found, said, strict=True)]
    whole = len(_all_of(run)) == len(options)
    if said.count("wrong") == len(run) - 1 and ("right" in said or whole):
        at = next(i for i, verdict in enumerate(said) if verdict != "wrong")
        found[at] = replace(found[at], role="declared", beside=(), alone=False, weighed=True)
    elif said.count("right") == 1 and "wrong" in said:
        at = said.index("right")
        found[at] = replace(found[at], role="likely", beside=())
    return found


def _verdict_on(mention: Mention, end: int, flat: str, options: Sequence[str]) -> Literal["right", "wrong", ""]:
    """What a label's item, which ends there, calls its option; nothing where it calls it both, or neither."""
    text = flat[mention.end - len(mention.beside[0]) : end]
    mark = flat[mention.start : mention.end - len(mention.beside[0])]
    text = f"{mark} {text[end_of(text, options[min(mention.options)]) :]}".lower()
    last = cues.ITEM_VERDICT.search(text)
    if last:
        return "wrong" if cues.ITEM_WRONG.search(last[0]) else "right"
    wrong, right = cues.ITEM_WRONG.search(text), cues.ITEM_RIGHT.search(cues.ITEM_WRONG.sub(" ", text))
    return "" if bool(wrong) == bool(right) else "wrong" if wrong else "right"


# -- options by their texts


def _texts_declared(flat: str, options: Sequence[str], found: Sequence[Mention]) -> Iterator[Mention]:
    """Declarations by an option's text: alone in its line, or after "the answer is"."""
    first_words = {option.split()[0] for option in options if option}
    for part in sentences(flat):
        whole = normalise(part.text)
        inside = [m for m in found if m.start < part.start + len(part.text) and m.end > part.start]
        if any(mention.role in ("listed", "declared") and not mention.by_text for mention in inside):
            continue
        if whole in options and part.opens and part.closes and not inside:
            yield Mention(
                part.start,
                part.start + len(part.text),
                frozenset({options.index(whole)}),
                "declared",
                alone=True,
                by_text=True,
            )
            continue
        if part.text.rstrip().endswith("?"):
            continue
        for word in re.finditer(r"[^\W_]+", part.text):
            if normalise(word[0]) in first_words:
                option = _declared_text(part.text[: word.start()].lower(), part.text[word.start() :], options)
                if option is not None:
                    at = part.start + word.start()
                    yield Mention(at, at + len(word[0]), frozenset({option}), "declared", by_text=True)


def _declared_text(before: str, rest: str, options: Sequence[str]) -> int | None:
    """The option with whose text the rest of a sentence begins, if what stands before declares it."""
    ends = {option: end for option in options if (end := end_of(rest, option))}
    option = max(ends, key=len, default=None)
    before = re.sub(r"\b(?:a|an|the)\s+$", "", before)[-300:]
    if option is None or not cues.DECLARES_BEFORE.search(before):
        return None
    after = rest[ends[option] :].lower()
    if cues.AND_ANOTHER.match(after) if " " in option else not cues.TEXT_ENDS.match(after):
        return None
    doubts = (cues.REJECTS_BEFORE, cues.DOUBTS, cues.CONDITION, cues.OTHERS, cues.NEUTRAL_BEFORE)
    return None if any(doubt.search(before) for doubt in doubts) else options.index(option)


def _named_by_text(flat: str, options: Sequence[str]) -> set[int]:
    """Options whose words occur in a row in a sentence: not inside a longer option's, and not denied just before.

    Options with equal words count as the first of them.
    """
    named: set[int] = set()
    for part in sentences(flat):
        words = normalise(cues.CONTRACTED.sub(r"\1 is", part.text)).split()
        found: list[tuple[int, int, int]] = []  # (first word, word after the last, option)
        for option in dict.fromkeys(options):
            row = option.split()
            for start in range(len(words) - len(row) + 1):
                if (
                    row
                    and words[start : start + len(row)] == row
                    and not cues.DENIED.search(" ".join(words[max(0, start - 4) : start]))
                ):
                    found.append((start, start + len(row), options.index(option)))
        named |= {
            position
            for start, end, position in found
            if not any(s <= start and end <= e and e - s > end - start for s, e, _ in found)
        }
    return named


# -- the decision


def _with_texts(mention: Mention, options: Sequence[str]) -> Mention:
    """The mention, with the options whose texts stand beside a letter that is not theirs."""
    own = {options[i] for i in mention.options}
    others = set()
    for text in map(normalise, mention.beside):
        for i, option in enumerate(options):
            long = len(option.split()) > 1 and begins(text, option) and not any(begins(text, other) for other in own)
            if option not in own and (text == option != "" or long):
                others.add(i)
    return replace(mention, options=mention.options | others)


def _last(found: Sequence[Mention], flat: str, options: Sequence[str]) -> Choice:
    """What is declared last decides, unless it is taken back, or contradicts what was declared before and no word says
    which of the two holds."""
    declared = [_with_texts(mention, options) for mention in found if mention.role == "declared"]
    rejected = [mention for mention in found if mention.role == "rejected"]
    last = declared[-1]
    texts = {options[i] for i in last.options}
    if not texts:
        return Choice(None, "none")

    def taken_back(mention: Mention) -> bool:
        return any(other.start >= mention.end and mention.options <= other.options for other in rejected)

    if len(texts) > 1 or taken_back(last):
        return Choice(None, "ambiguous")
    same = [last]
    for mention in declared[:-1]:
        if not mention.options:
            continue
        if {options[i] for i in mention.options} == texts:
            same.append(mention)
        elif not taken_back(mention):
            between = flat[mention.end : last.end].lower()
            near = len(flat[mention.end : last.start].split()) < NEAR and not (last.alone and not mention.alone)
            first = mention.alone and _is_first(mention, flat)
            if (last.weighed and mention.weighed) or (
                not cues.TURNS_BACK.search(between) and (first or (near and not cues.GOES_ON.search(between)))
            ):
                return Choice(None, "ambiguous")
    by_letter = [mention for mention in same if not mention.by_text]
    return Choice(min((by_letter or same)[0].options), "letter" if by_letter else "text")


def _decide(named: Iterable[int], how: How, options: Sequence[str]) -> Choice:
    """The first of the named options where all have one text, else `ambiguous`."""
    named = set(named)
    return Choice(min(named), how) if len({options[i] for i in named}) == 1 else Choice(None, "ambiguous")
