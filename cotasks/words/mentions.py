"""Where a text names options by their letters, and what it says of each.

Works on a text from `packaging.unformatted`. What follows from the mentions, `choices.read_choice` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Literal

from cotasks.words import cues
from cotasks.words.normal import begins, end_of, normalise

Role = Literal["declared", "likely", "doubted", "rejected", "listed"]
CONTEXT = 300
"""Characters before and after a letter that may say something of it."""
MOST = 100
"""Letters that are looked at in one sentence; more are a model's repetition."""


@dataclass(frozen=True)
class Mention:
    """Options that are named in one place, and what is said of them."""

    start: int
    """Position in the text, from 0: of the words that declare the option, else of its letter."""
    end: int
    """Exclusive."""
    options: frozenset[int]
    """Positions of the options, from 0; more than one where they are named together: "B and C"; none where the letter
    is no option's."""
    role: Role
    """`declared` as the answer; `likely`: pointed to ("this matches C"); `doubted`: named with a doubt, or named and no
    more; `rejected`; `listed`: the label of an item in a list of options."""
    beside: tuple[str, ...] = ()
    """Texts that stand beside the letter as the text of its option would."""
    alone: bool = False
    """Whether the line says nothing else."""
    by_text: bool = False
    """Whether the option is named by its text."""
    weighed: bool = False
    """Whether it is declared by a judgement on it ("B is correct") that several options may get."""


@dataclass(frozen=True)
class Sentence:
    """A part of a line."""

    start: int
    """Position in the text."""
    text: str
    opens: bool
    """Whether the line begins with it."""
    closes: bool
    """Whether the line ends with it."""


# -- sentences

_STOP = re.compile(r"[.!?]+[)\"']*(?=\s)|;(?=\s)")
_LABEL_ONLY = re.compile(r"\W*(?:option\s+)?[(\[]?[A-Za-z][)\]]?\.\s*", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|ans|no|fig|cf|etc|mr|mrs|dr)\.$", re.IGNORECASE)
_INLINE_LABEL = re.compile(r"(?<=\s)[(\[]?([B-Z])(?:[).\]:]+(?=\s)|(?<=[,;]\s.)\s*(?:[=(]|[–—-]\s))")


def sentences(text: str) -> Iterator[Sentence]:
    """The sentences of each line. A label such as "B." goes with the text after it; in "A) walk B) run", each label
    begins a sentence."""
    for match in re.finditer(r"[^\n]*\S[^\n]*", text):
        line, begin = match[0], 0
        if _LETTERS_ONLY.fullmatch(line):
            yield Sentence(match.start(), line, True, True)
            continue
        cuts = {stop.end() for stop in _STOP.finditer(line) if not _ABBREVIATION.search(line[: stop.end()])}
        cuts |= {label.start() for label in _INLINE_LABEL.finditer(line) if _follows_a_label(line, label)}
        pieces: list[tuple[int, str]] = []
        for cut in [*sorted(cut for cut in cuts if line[cut:].strip()), len(line)]:
            piece = line[begin:cut]
            if piece.strip() and not (cut < len(line) and _LABEL_ONLY.fullmatch(piece)):
                pieces.append((match.start() + begin, piece))
                begin = cut
        for i, (start, piece) in enumerate(pieces):
            yield Sentence(start, piece, i == 0, i == len(pieces) - 1)


def _follows_a_label(line: str, label: re.Match[str]) -> bool:
    """Whether the label of the letter before this one stands before it in the line."""
    before = chr(ord(label[1]) - 1)
    pattern = rf"(?<!\w)[(\[]?{before}(?:[).\]:]+\s|\s*(?:[=(]|[–—-]\s))"
    return re.search(pattern, line[: label.start()]) is not None


# -- letters

_ALONE = r"(?![\w'’&]|-\w|/\w\w|\.\w)"  # after a letter: "B-side", "D's", "A/C unit", "e.g."
_LETTER = rf"(?<![\w'’.\-/&])(?:[(\[]\s?[A-Z]\s?[)\]]|[(\[]?[A-Z][)\]]?{_ALONE})"
_JOIN = (
    r"\s*(?:,\s*(?:(?:and|or|nor|y|et|und)\s|&)?|/|&|\b(?:and|or|nor|y|o|et|ou|und|oder|e)\b|和|或者?|と|か|및|또는)\s*"
    r"(?:also\s+)?(?:(?:option|choice|answer)s?\s+)?"
)
_GROUP = re.compile(rf"{_LETTER}(?:{_JOIN}(?:[(\[][A-Z][)\]]|[(\[]?[A-Z][)\]]?{_ALONE})){{0,25}}")
_SMALL = re.compile(rf"(?<![\w'’.\-/&])[(\[]?([a-z])[)\]]?{_ALONE}")
_LETTERS_ONLY = re.compile(r"\s*[(\[]?[A-Z][)\].,;:]*(?:\s+[(\[]?[A-Z][)\].,;:]*)+\s*")
_CAPITAL = re.compile(r"(?<![\w'’])[A-Z](?![\w'’])")
_ARTICLE = re.compile(
    r"[ \t]+(?!(?:is|was|are|were|does|do|did|has|would|could|might|may|must|should|isn['’]t|doesn['’]t|wasn['’]t"
    r"|can['’]t|cannot|can be|and|or|nor|but|so|because|since|as|which|although|though|while|then|if|when"
    r"|due|based|given that|over|rather|instead|not|in|to|on|for|at|too|also|only|more|best|it|here|out|seems?"
    r"|looks?|appears?|fits?|matches|makes|describes|corresponds|comes|happens|happened|occurs|works|stands|wins|remains"
    r"|says|said|suggests|states|ruled|es|est|ist|é|è)\b)[a-z]"
)
"""After the article "A"; after the letter stands a verb or a conjunction."""


def _position(letter: str, count: int) -> int | None:
    position = ascii_uppercase.find(letter.upper())
    return position if 0 <= position < count else None


def _groups(text: str, count: int) -> Iterator[tuple[int, int, frozenset[int]]]:
    """(start, end, options) of letters and of letters that are named together; none twice in one group, and no options
    for a letter that is none's."""
    at = 0
    while match := _GROUP.search(text, at):
        letters = list(_CAPITAL.finditer(text, match.start(), match.end()))
        known: list[re.Match[str]] = []
        for letter in letters:
            word = known and letter[0] in "AI" and not _is_letter(text, letter.start(), letter.end())
            if word or letter[0] in [other[0] for other in known]:
                break
            known.append(letter)
        end = match.end() if len(known) == len(letters) else known[-1].end()
        at = max(end, match.start() + 1)
        first = _position(known[0][0], count)
        options = frozenset(p for p in (_position(letter[0], count) for letter in known) if p is not None)
        stranger = not options and len(known) == 1 and known[0][0] != "I"
        if stranger or (first is not None and (len(known) > 1 or _is_letter(text, match.start(), end))):
            yield match.start(), end, options


def _is_letter(text: str, start: int, end: int) -> bool:
    """Whether what looks like a letter is none of the words "A" and "I"."""
    named, after = text[start:end].strip(), text[end : end + 20]
    if cues.OPTION_BEFORE.search(text[max(0, start - 20) : start].lower()):
        return True
    if named == "I":
        return not re.match(r"[ \t]+(?!(?:is|because|since|as|and|or)\b)\w|['’]|,", after)
    return named != "A" or not _ARTICLE.match(after)


# -- what is said of them

_LABEL = re.compile(
    r"[\s✓✗→:]*(?:(?:option|choice|answer choice|選択肢|选项|選項)\s+)?"
    r"(?:[(\[](?P<closed>[A-Za-z])[)\]]\s*[.:,–—-]?"
    r"|(?P<open>[A-Za-z])(?:\s?[.):\]|→/]+|,|\s[–—=-]+(?=\s)|(?=\s*\()|(?=\s)))(?P<text>.*)",
    re.IGNORECASE | re.DOTALL,
)
_JOINED = re.compile(r"\s*(?:[,/&]|and\b|or\b|nor\b)\s*(?:option\s+|choice\s+)?[(\[]?[A-Z]?\b", re.IGNORECASE)
_SHORT_ANSWER = re.compile(r"^\s*[Aa]\s*:\s*(?=[(\[]?[A-Za-z][)\]]?\s*(?:$|[.,]))")  # "A: C"
_OPENING = re.compile(
    r"[\s✓→]*(?:(?:so|thus|hence|therefore|then|and|yes|ok|okay|sure|clearly|probably|definitely|likely|most likely"
    r"|finally|final|maybe|perhaps|option|choice|letter|the|is|that|only|correct|by elimination|opción|letra"
    r"|alternativa|l['’]option|选项|選項|因此|所以|故|选|選)(?!\w)[\s,:→]*)*",
    re.IGNORECASE,
)
"""What may stand before a letter that is all that a sentence says."""
_TAIL = re.compile(
    r"[\s.!?,:;)\]✓→]*(?:\(?(?:confidence|certainty|high|medium)\b.*|(?:i (?:think|believe|guess|suppose|would say)"
    r"|i['’]d say|(?:most )?probably|most likely|definitely|certainly|clearly|obviously|surely|of course|for sure"
    r"|no doubt|without (?:a|any) doubt)[\s.!]*)?",
    re.IGNORECASE | re.DOTALL,
)
"""What may stand after it."""
_CLOSING = re.compile(r"[)\]]?[ \t]*(?:\([^()]{2,80}\))?")


def mentions(text: str, options: Sequence[str]) -> list[Mention]:
    """All mentions of options by letter, in order. The options' texts are in normal form."""
    found: list[Mention] = []
    parts = list(sentences(text))
    for i, part in enumerate(parts):
        before = parts[i - 1].text if i and not part.opens else ""
        after = parts[i + 1].text if i + 1 < len(parts) and not part.closes else ""
        label = _labelled(part, options)
        found += [label] if label else _said(part, options, len(parts) == 1, before, after)
    return found


def _labelled(part: Sentence, options: Sequence[str]) -> Mention | None:
    """The mention that a sentence of the form "B. text" is; None where it has another form."""
    match = _LABEL.fullmatch(part.text)
    if match is None or _LETTERS_ONLY.fullmatch(part.text):
        return None
    letter, text = match["closed"] or match["open"], match["text"]
    position = _position(letter, len(options))
    if position is None or not re.search(r"[^\W_]", text) or _JOINED.match(text) or _SHORT_ANSWER.match(part.text):
        return None
    mark = part.text[: match.start("text")].rpartition(letter)[2]
    own = begins(normalise(text), options[position])
    if (
        not mark.strip()
        and not text.startswith("(")
        and not (letter.isupper() and normalise(text) == options[position])
    ):
        return None  # "B walk" with the whole of its text only
    if not own:
        if mark.strip() in (",", "=", "/") or (
            mark == mark.rstrip() and not match["closed"] and text[:1].isalnum() and mark[-1:] not in ")]"
        ):
            return None  # "e.g. the boy", "A.M."; but "D.yellow"
        if letter.islower() and not (part.opens and mark.strip().startswith((".", ")"))):
            return None
        if letter in "Ii" and match["open"] and not mark.strip().startswith((".", ")", ":")):
            return None
    return Mention(part.start, part.start + len(part.text), frozenset({position}), "listed", (text,), part.opens)


def _said(part: Sentence, options: Sequence[str], only: bool, previous: str, following: str) -> Iterator[Mention]:
    """The mentions in a sentence. `only`: the text has no other."""
    count = len(options)
    text = _SHORT_ANSWER.sub(lambda match: " " * len(match[0]), part.text, count=1) if part.opens else part.text
    question = text.rstrip().endswith("?")
    if part.opens and part.closes and _LETTERS_ONLY.fullmatch(text):  # "A. B. C."
        named = frozenset(p for p in (_position(letter, count) for letter in _CAPITAL.findall(text)) if p is not None)
        if named:
            yield Mention(part.start, part.start + len(text), named, "declared", alone=True)
        return
    groups = list(_groups(text, count))
    groups = groups if len(groups) <= MOST else [*groups[: MOST // 4], *groups[-MOST // 4 * 3 :]]
    for n, (start, end, named) in enumerate(groups):
        before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
        mention = Mention(part.start + start, part.start + end, named, "doubted")
        if _OPENING.fullmatch(before) and _TAIL.fullmatch(after) and (only or not question):
            yield replace(mention, role="declared", alone=part.opens and part.closes, beside=(previous, following))
        elif not question:
            upto = groups[n + 1][0] - end if n + 1 < len(groups) else len(after)
            head = None
            gap = re.match(r"[\s)\]}.,:;–—|-]*", after)
            own = end_of(after[gap.end() :], options[min(named)]) if gap and len(named) == 1 else 0
            if not named and not cues.LABELLED_BEFORE.search(before.lower()):
                continue
            rest = after[gap.end() + own :] if gap and own else after
            role = _role(before, rest, re.search(r"[(\[]", text[start:end]) is not None, bool(own))
            if role == "declared" and (head := cues.DECLARES_BEFORE.search(before.lower())):
                mention = replace(mention, start=mention.start - len(before) + head.start())
            if role:
                weighed = (
                    role == "declared"
                    and not head
                    and cues.WEIGHS_AFTER.match(_CLOSING.sub("", rest.lower(), count=1)) is not None
                )
                yield replace(mention, role=role, beside=(before, *_beside(after[:upto], following)), weighed=weighed)
    if not groups:
        yield from _small(part, text, count, question and not only)


def _small(part: Sentence, text: str, count: int, question: bool) -> Iterator[Mention]:
    """Mentions by a small letter: alone in its line, or right after "answer:" or "option"."""
    for match in _SMALL.finditer(text):
        position = _position(match[1], count)
        before, after = text[max(0, match.start() - CONTEXT) : match.start()], text[match.end() :][:CONTEXT]
        if position is None or question:
            continue
        lone = _OPENING.fullmatch(before) and _TAIL.fullmatch(after) and part.opens and part.closes
        told = cues.LABELLED_BEFORE.search(before.lower()) and cues.STOPS.match(after)
        named = cues.OPTION_BEFORE.search(before.lower()) and cues.STOPS.match(after)
        if lone or told or named:
            at = part.start + match.start()
            role: Role = "declared" if lone or told else "doubted"
            yield Mention(at, at + len(match[0]), frozenset({position}), role, _beside(after, ""), bool(lone))


def _beside(after: str, following: str) -> tuple[str, ...]:
    """What stands after a letter as its option's text would: in brackets, after a mark, as the next sentence."""
    closed = re.match(r"\s*[)\]]?\s*\(([^()]*)\)", after)
    rest = after.strip(" \t.,:;!)]–—-→|")
    return tuple(text for text in (closed[1] if closed else "", rest or following) if text.strip())


def _role(before: str, after: str, bracketed: bool, closed: bool) -> Role | None:
    """What a sentence says of the letters between two parts of it; None where nothing that bears on the answer.

    `bracketed`: the letters stand in brackets; `closed`: their option's text stood after them, and is left out.
    """
    cased, before, after = after, cues.FROM_THE_OPTIONS.sub(" ", before.lower()), after.lower()
    rest = _CLOSING.sub("", after, count=1)
    clause = cues.CLAUSE.split(before)[-1]
    stops = bracketed or closed or cues.CLAUSE_ENDS.match(after) or cues.LABELLED_BEFORE.search(before)
    right = cues.DECLARES_AFTER.match(rest)
    if cues.ALL_BUT_BEFORE.search(before):
        return "rejected" if right else "declared"
    if cues.REJECTS_AFTER.match(rest) and not cues.RATHER_THAN.match(cased):
        return "rejected"
    if cues.REJECTS_BEFORE.search(before):
        return "rejected"
    if (
        cues.CONDITION.search(before)
        or cues.OTHERS.search(before)
        or (cues.IF_AFTER.search(after) and cues.WOULD.search(before[-60:] + rest[:30]))
    ):
        return None
    doubted = bool(cues.DOUBTS.search(clause) or cues.AT_FIRST.search(before) or cues.DOUBTS_AFTER.match(rest))
    if right or (cues.ONLY_BEFORE.search(before) and cues.ONLY_AFTER.match(rest)):
        return "doubted" if doubted else "declared"
    if cues.NEUTRAL_BEFORE.search(re.split(r"[,;—]|\b(?:so|but|therefore|thus|hence)\b", before)[-1]):
        return None
    if _OPENING.fullmatch(before) and cues.REASONS_AFTER.match(after):  # "B because"
        return "doubted" if doubted else "declared"
    if stops and cues.DECLARES_BEFORE.search(before):
        told = cues.DECLARES_BEFORE.search(cues.OPTION_BEFORE.sub("", before)) or cues.LABELLED_BEFORE.search(before)
        return "doubted" if doubted or not told else "declared"
    if stops and cues.NAMES_BEFORE.search(before):
        return "doubted" if doubted else "likely"
    if re.search(r"[,–—→-]\s*[(\[]?$", before) and re.fullmatch(r"[\s.!)\]]*", after):  # "white, E."
        return "likely"
    if bracketed and re.fullmatch(r"[\s.!]*", after) and cues.DECLARES.search(before):  # "The answer is a walk (B)."
        return "doubted" if doubted else "declared"
    if bracketed and closed:  # "this refers to (C) a walk"
        return "doubted" if doubted else "likely"
    return "doubted" if bracketed or cues.OPTION_BEFORE.search(before) else None
