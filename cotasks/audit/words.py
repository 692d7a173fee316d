"""Words of answers and of context blocks, made comparable.

- **Words** of a text are those of `answers.normalise` (no case, no punctuation, no articles, numerals as words),
  each *folded*: plural and verb endings are cut by rule and irregular forms by table, so that "holds", "holding",
  "held" and "hold" are one word. Folding is for comparing only; the results need not be words.
- **Items** of a context block are what it says: each entity name, and each triple as subject, predicate, object.
  The layout says nothing of the video and is left out: preamble, titles, "Frames", "Entities", "none", times, frame
  numbers and coordinates. Numbers in names ("adult 2") are labels; they count entities (`Reading.counts`) and are no
  words.
- The **number** of a reference is the number that it begins with ("two", "3 fingers"); 0 to 100.
- The **head word** of a reference is found without a tagger. Words that cannot be a head at its beginning are passed
  over ("to", "he is", "on the", colours, sizes, numbers); the following words up to the next function word or the end
  are a chunk ("pick" | up the fork; "baby chair"). Where the question asks for an action (`asks_for_action`), the head
  is the chunk's first word ("pick"), else its last ("chair"). A reference that is only a number has no head.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from cotasks.steps.context import NOTHING
from cotasks.steps.table import STEP_TITLES
from cotasks.words.answers import normalise

Words = tuple[str, ...]
Item = tuple[str, ...]
"""The texts of one entity name without its number, or of a triple: ("adult",), ("adult", "hold hand of", "child")."""

NUMBER_OF = {normalise(str(number)): number for number in range(101)}

_IRREGULAR_FORMS = (
    "hold held, sit sat, lie lay lain lied lying, stand stood, take took taken, throw threw thrown, eat ate eaten, "
    "drink drank drunk, bite bit bitten, ride rode ridden, drive drove driven, speak spoke spoken, catch caught, "
    "feed fed, shake shook shaken, wear wore worn, write wrote written, run ran, give gave given, get got gotten, "
    "go goes went gone, fall fell fallen, keep kept, tell told, swing swung, use used using, die died dying, "
    "tie tied tying, make made, come came, leave left, see saw seen, man men, woman women, child children, "
    "person people, foot feet, tooth teeth, mouse mice, goose geese, knife knives, wife wives, leaf leaves, "
    "shelf shelves"
)
_IRREGULAR = {form: word for word, *forms in map(str.split, _IRREGULAR_FORMS.split(", ")) for form in forms}
_VOWEL = re.compile(r"[aeiouy]")


@lru_cache(maxsize=65536)
def fold(word: str) -> str:
    """A word without plural and verb endings."""
    word = _IRREGULAR.get(word, word)
    if len(word) > 4 and word.endswith(("ies", "ied")):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        stem = word[: -len(ending)]
        if word.endswith(ending) and not word.endswith("eed") and len(stem) > 2 and _VOWEL.search(stem):
            word = stem[:-1] if stem[-1] == stem[-2] and stem[-1] not in "aeioulsz" else stem
            break
    if len(word) > 3 and word.endswith(("e", "y")):  # "ride" and "riding"; "cookie", "cookies" and "carry", "carried"
        return word[:-1] + "i" * word.endswith("y")
    return word


@lru_cache(maxsize=65536)
def words(text: str) -> Words:
    """The folded words of a text."""
    return tuple(fold(word) for word in normalise(text).split())


_DETERMINERS_AND_PRONOUNS = (
    "a an the this that these those his her hers its my your our their him it he she they i we you them me us "
    "himself herself itself themselves someone something somebody each other another one some any all both every "
    "who which what"
)
_PREPOSITIONS_PARTICLES_CONJUNCTIONS = (
    "up down out off away back over around on in at to of for with from by into onto toward towards under beneath "
    "behind near beside besides next between through across along against about above below inside outside without "
    "after before while when as so than because since and or but if then together forward backward upward downward"
)
_AUXILIARIES_AND_ADVERBS = (
    "is are was were be been being am do does did has have had can could will would should may might not no very too "
    "just only still there here s t"
)
FUNCTION_WORDS = frozenset(
    word
    for text in (_DETERMINERS_AND_PRONOUNS, _PREPOSITIONS_PARTICLES_CONJUNCTIONS, _AUXILIARIES_AND_ADVERBS)
    for word in text.split()
)
"""Words that say little by themselves; they end a chunk, and do not count in options. `s`, `t`: "baby s", "don t"."""
_MODIFIER_TEXT = (
    "black white red green blue yellow orange brown grey gray pink purple golden silver dark light bright colourful "
    "colorful big small large little long short tall young old new other same different more many few several lot much "
    "first second third last next left right middle good"
)
_MODIFIERS = frozenset(_MODIFIER_TEXT.split())


def number_of(reference: str) -> int | None:
    """The number that a reference begins with, 0 to 100; None where it begins with none."""
    first = normalise(reference).split()[:1]
    return NUMBER_OF.get(first[0]) if first else None


def is_number(reference: str) -> bool:
    """Whether a reference is a number and nothing else."""
    return normalise(reference) in NUMBER_OF


def asks_for_action(question: str) -> bool:
    """Whether the answer is likely to begin with a verb.

    True for questions with "why", for "how" unless "many", "much", "old" or "long" follows, and for those with
    "doing", "happen", "react" or "respond", or with "do" after the second word ("what does the boy do", but not "what
    do they hold").
    """
    asked = normalise(question).split()
    if "why" in asked:
        return True
    if "how" in asked:
        return asked[asked.index("how") + 1 : asked.index("how") + 2] not in (["many"], ["much"], ["old"], ["long"])
    folded = {fold(word) for word in asked}
    return bool({"doing", "done"} & set(asked) or {"happen", "react", "respond"} & folded or "do" in asked[2:])


def head_word(question: str, reference: str) -> str | None:
    """The folded head word of a reference, as the module says; None where it is a number, or has no word at all."""
    text = normalise(reference).split()
    if not text or is_number(reference):
        return None
    start = next((i for i, word in enumerate(text) if not _passed_over(word)), None)
    if start is None:
        # nothing but such words: "on the left", "black and white", "other people" never comes here
        start = next((i for i, word in enumerate(text) if word in _MODIFIERS), len(text) - 1)
    chunk: list[str] = []
    for word in text[start:]:
        if chunk and word in FUNCTION_WORDS:
            break
        chunk.append(word)
    return fold(chunk[0] if asks_for_action(question) else chunk[-1])


def _passed_over(word: str) -> bool:
    return word in FUNCTION_WORDS or word in _MODIFIERS or word in NUMBER_OF


@dataclass(frozen=True)
class Reading:
    """What a text says, for comparing with answers."""

    items: Counter[Item]
    """How often each item stands in it."""
    names: frozenset[str]
    """The entity names as they stand, with their numbers."""

    def __add__(self, other: Reading) -> Reading:
        """Two texts read as one."""
        return Reading(self.items + other.items, self.names | other.names)

    def mentions(self) -> tuple[Counter[str], Counter[str]]:
        """(category -> mentions, predicate -> mentions)."""
        categories: Counter[str] = Counter()
        predicates: Counter[str] = Counter()
        for item, times in self.items.items():
            categories[item[0]] += times
            if len(item) == 3:
                predicates[item[1]] += times
                categories[item[2]] += times
        return categories, predicates

    def counts(self) -> dict[str, frozenset[int]]:
        """Category -> the numbers of entities that can be read off: how many are named, and the highest number in a
        name, for "adult 3" alone tells that there are three.
        """
        named: Counter[str] = Counter()
        highest: dict[str, int] = {}
        for name in self.names:
            category, number = split_name(name)
            named[category] += 1
            highest[category] = max(highest.get(category, 0), number)
        return {category: frozenset({count, highest[category]}) for category, count in named.items()}


NO_READING = Reading(Counter(), frozenset())


@lru_cache(maxsize=65536)
def split_name(name: str) -> tuple[str, int]:
    """An entity's name in a prompt -> (category, number); the number is 1 where it has none."""
    match = re.fullmatch(r"(.+) (\d+)", name)
    return (match[1], int(match[2])) if match else (name, 1)


_TRIPLE = re.compile(r"\((.+), (.+), (.+)\): .*")


def read_context(block: str) -> Reading:
    """Read a context block of `prompts.build_prompt` (or text of the same layout; the empty text says nothing).

    Raises ValueError for a line of another form: the layout of prompts has changed and this module has not.
    """
    items: Counter[Item] = Counter()
    names: set[str] = set()
    for parts in _parts(block):
        named = [parts[0], parts[-1]] if len(parts) == 3 else list(parts)
        names.update(named)
        item = tuple(split_name(part)[0] if number != 1 else part for number, part in enumerate(parts))
        items[item] += 1
    return Reading(items, frozenset(names))


def _parts(block: str) -> Iterator[Item]:
    """The items of a block, with the numbers of their names."""
    for line in block.splitlines()[1:]:  # the first line is the preamble
        if line in STEP_TITLES or line == NOTHING or line.startswith("Frames: "):
            continue
        triple = _TRIPLE.fullmatch(line)
        head, colon, rest = line.partition(": ")
        if triple:
            yield triple[1], triple[2], triple[3]
        elif not colon:
            raise ValueError(f"cannot read the line {line!r} of a context block")
        elif head == "Entities":
            yield from ((name,) for name in rest.split(", ") if name != NOTHING)
        else:
            yield (head,)


@lru_cache(maxsize=262144)
def item_words(item: Item) -> Words:
    """The folded words of an item."""
    return tuple(word for part in item for word in words(part))
