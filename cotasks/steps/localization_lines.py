"""The frames and entities of one line, for step 1.

    titles              "Frames:", "Key frames -", "Time range:", "Relevant objects:", "Entities involved =", 关键帧：
    lists               0.0s to 1.0s, 2.0s; dog, ball and adult 1; ["dog", "ball"]
    remarks             "dog (brown)", "dog: the one in front", "0.5s: the dog jumps" below a title
    sentences           "The event happens from 0.0 seconds to 1.0 seconds.", "The entities are the dog and the ball."

A sentence gives frames only where its moments stand in one place, say that they are moments, and nothing in it denies
or bounds them ("not", "before", "the video is 10 seconds long").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cotasks.records.schema import Entity
from cotasks.steps.context import NOTHING, StepContext
from cotasks.steps.times import plain_runs
from cotasks.steps.wording import MOMENT, find_entity, known_entity, read_frames, says_moment

NOTHING_SAID = re.compile(rf"(?:{NOTHING}|nothing|n/a|no (?:\w+ )?relations?(?: \w+)?|无|没有)", re.IGNORECASE)

_TITLES = (
    r"(?:\b(?P<frames>when|key ?frames?|frames?|time ?(?:stamps?|spans?|ranges?|intervals?|segments?|periods?|windows?)"
    r"|times?|spans?|segments?|intervals?|moments?|seconds)|关键帧|帧|时间(?:段|范围|戳)?"
    r"|\bentit(?:y|ies)|\b(?:objects?|participants|subjects|characters|actors)|实体|物体|对象)"
)
_HEADS = (
    re.compile(
        rf"[\w ,'’-]{{0,80}}?{_TITLES}(?: [a-z ]{{1,25}}?)?\s*(?:\([^()\d]{{0,40}}\)\s*)?(?:[:=|]|\s[-–—]\s)\s*"
        r"(?P<rest>.*)",
        re.IGNORECASE,
    ),
    re.compile(rf"{_TITLES}\s+(?P<rest>.*)", re.IGNORECASE),
)
_SENTENCE = re.compile(
    rf"[\w ]{{0,40}}?{_TITLES}\s+(?:involved |needed )?(?:are|is|include|includes)\s+(?P<rest>.*)", re.IGNORECASE
)
_CHINESE_FRAMES = re.compile(r"关键帧|帧|时间")
SECOND_TITLE = re.compile(
    r"(?:[;,.]\s*|(?<=\d)\s+|(?<=\ds)\s+)(?:\d{1,2}[.)]\s+)?(?=(?i:(?:relevant |key |main |important )?"
    r"(?:entities|objects|frames|time ?stamps?|times?|time range)(?: involved)?\s*:))"
    r"|[;,.]\s*(?=(?:关键帧|帧|时间|实体|物体|对象)\s*:)"
    r"|(?:[;,.]|\s+and)\s+(?=(?i:(?:the )?(?:relevant |key |main |important )?(?:entities|objects)"
    r" (?:involved )?(?:are|is|include)\b))|(?<=[a-z\d])\.\s+(?=[A-Z])"
    r"|(?<!Key)(?<!Main)(?<!Relevant)(?<!Important)\s+(?=(?:Entities|Objects|Frames)\s*:)"
)
"""What parts two titles or sentences on one line."""
_RUN = rf"{MOMENT}(?:\s*(?:to|until|till|through|and|[-–—~]|->)\s*{MOMENT})?"
_MOMENTS = re.compile(rf"(?<![\w.:]){_RUN}(?:\s*(?:[,;]|and|as well as)\s*(?:from |at |between )?{_RUN})*(?!\w)", re.I)
_BOUNDED = re.compile(
    r"\b(?:not?|never|neither|nor|without|except|unless|if|before|after|until|till|since|outside|long|lasts?|duration"
    r"|video is|clip is|length|every|per|about|maybe|perhaps|might|could|either|or)\b|n't\b",
    re.IGNORECASE,
)
_ONE_END = re.compile(r"\b(?:start|begin|end|stop|finish|from|to|by)\w*\b", re.IGNORECASE)
_REMARK = re.compile(rf"({_RUN})\s*(?::|[-–—])\s+[^\d]*", re.IGNORECASE)
Read = tuple[set[int], dict[int, Entity], Sequence[str]]
"""(frames, entities by tid, what was left)."""


def read_title(line: str) -> tuple[str, str]:
    """(`frames`, `entities` or nothing, what follows) of a line; a title behind a verb is none."""
    head = next((match for match in (pattern.fullmatch(line) for pattern in _HEADS) if match), None)
    if head is None:
        return "", line
    is_frames = head["frames"] or _CHINESE_FRAMES.search(line[: head.start("rest")])
    return "frames" if is_frames else "entities", head["rest"]


def localization_line(content: str, section: str, titled: bool, context: StepContext) -> Read:
    """What follows a title; without one, all of it must be known.

    Args:
        section: whose content this is, `frames` or `entities`, or nothing.
        titled: whether the title stands on the same line.
    """
    if not titled:
        sentence = _SENTENCE.fullmatch(content)
        if sentence is not None and not sentence["frames"]:
            read = _entities(sentence["rest"], content, False, context)
            if read[1]:
                return read
    if section != "entities":
        remark = _REMARK.fullmatch(content) if section == "frames" else None
        frames = read_frames(remark[1] if remark else content, context)
        if section == "frames" or (frames.value and not frames.unread and says_moment(content)):
            return set(frames.value), {}, frames.unread
        listed = None if section else _frames_and_entities(content, context)
        if listed is not None:
            return listed
        spoken = _frames_of_sentence(content, context)
        if spoken:
            return spoken, {}, ()
    return _entities(content, content, bool(section), context, titled)


def _frames_and_entities(content: str, context: StepContext) -> Read | None:
    """`0.0s to 1.0s; dog, ball`: a list of both; None unless each part is one of them."""
    frames: set[int] = set()
    entities: dict[int, Entity] = {}
    for part in re.split(r"[,;|&]|\band\b", content):
        entity = known_entity(part, context)
        read = read_frames(part, context)
        if entity is not None:
            entities[entity.tid] = entity
        elif read.value and not read.unread and says_moment(part):
            frames.update(read.value)
        elif part.strip():
            return None
    return frames, entities, ()


def _entities(names: str, content: str, in_section: bool, context: StepContext, titled: bool = False) -> Read:
    parts = [name.strip() for name in re.split(r"[,;|&]|\band\b", names) if name.strip(" .[]{}\"'")]
    # a name is opened (`naming`) on the line of its title only
    find = find_entity if titled else known_entity
    found = [(name, find(name, context) or _before_remark(name, context)) for name in parts]
    left = tuple(name for name, entity in found if entity is None and not NOTHING_SAID.fullmatch(name.strip(" .[]")))
    if not in_section and left:
        return set(), {}, (content,)
    return set(), {entity.tid: entity for _, entity in found if entity is not None}, left


def _before_remark(name: str, context: StepContext) -> Entity | None:
    """`dog: the one in front`, `dog - brown`."""
    head = re.split(r":\s|\s[-–—]\s", name)[0]
    return known_entity(head, context) if head != name else None


def _frames_of_sentence(text: str, context: StepContext) -> set[int]:
    """The frames of a sentence that says when something happens, and nothing else in numbers."""
    text = plain_runs(text)
    places = list(_MOMENTS.finditer(text))
    if len(places) != 1:
        return set()
    before, moments, behind = text[: places[0].start()], places[0][0], text[places[0].end() :]
    around = f"{before} {behind}"
    names = sorted(context.entity_of_name, key=len, reverse=True)
    rest = re.sub("|".join(map(re.escape, names)), " ", around.lower()) if names else around
    words = [
        word for word in re.findall(r"[^\W\d_]+", rest) if word not in ("and", "the", "a", "an", "from", "at", "to")
    ]
    if _BOUNDED.search(around) or re.search(r"\d", rest) or not words:
        return set()
    between = re.search(r"\bbetween\s*$", before, re.IGNORECASE)
    is_run = re.search(r"\bto\b|\buntil\b|\btill\b|\bthrough\b|[-–—~]|->", moments) is not None
    if not (is_run or between) and _ONE_END.search(around):
        return set()
    read = read_frames(f"between {moments}" if between else moments, context)
    return set() if read.unread else set(read.value)
