"""A1, step 1 of a record: which frames and entities matter, by origin.

`localize` chooses the origin and does the work; the rest are its parts, pure functions of a question and the scene of
its video. All frames here are grid frames, all times seconds of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten
from cotasks.records.annotation import Evidence, Question, VideoAnnotation
from cotasks.records.schema import Entity, FrameLocalization, Scene, Span
from cotasks.records.timeline import frames_in_spans
from cotasks.steps.by_words import Relation, ends, entities_by_words, entities_of, held
from cotasks.tools.files import utf8
from cotasks.words.lexicon import match_categories, own_phrases, words

MODES = ("auto", "human", "lexical", "whole", "model")


@dataclass(frozen=True)
class Proposal:
    """What a VideoLLM proposed for one question: one line of the proposals file."""

    id: str
    """The record's id."""
    model: str
    used_answer: bool
    """Whether the model was shown the reference answer."""
    spans: tuple[Span, ...]
    """Seconds of file time, as proposed; they may reach out of the clip."""
    entities: tuple[str | int, ...]
    """Names of things in the model's words, or tids, where the model was shown the annotated things with numbers."""


@dataclass(frozen=True)
class Localized:
    """A1 of a question."""

    frame_localization: FrameLocalization
    unmatched: tuple[str, ...] = ()
    """Proposed names and tids that match no entity of the scene, as proposed; empty but for mode `model`."""


def localize(
    question: Question,
    annotation: VideoAnnotation,
    *,
    mode: str,
    evidence: Evidence | None,
    proposal: Proposal | None,
    use_answer: bool = False,
) -> Localized:
    """A1 of a question.

    `auto` takes the first that there is: the source's own evidence for the question, the annotation itself where it
    consists of keyframes (STAR), spans that people marked (NExT-GQA), lexical, whole. The other modes require their
    origin. Where an origin gives spans but no entities, these are lexical or, where no word matches, all:
    `entity_origin` says which.

    - evidence, `human` or `annotation`: the spans as given, the frames in them, the entities that it names; where it
      names none, those of words, with all that they deal with where no predicate is named.
    - keyframes, `annotation`: the span is the clip; the frames are its keyframes; the entities are those with a box or
      a triple at them. Where the grid holds no keyframe, all its frames in the clip and all entities.
    - lexical: the entities of `cotasks.steps.by_words`. Words choose no time: the spans are `whole`, and say so.
    - model: the proposed spans cut to the clip, those outside it left out; the entities that the proposed names match,
      or whose tids are proposed.
    - whole: the clip, all frames of the grid, all entities.

    Args:
        question: its text and, for messages and look-up, place, id and qid.
        annotation: the video's annotation on the grid.
        mode: one of `MODES`.
        evidence: what the source says of the question, or None. For `auto`, and for `human` where people marked it.
        proposal: what a model proposed for the question, or None. For `model`.
        use_answer: match the words of the answer too where words are matched; A1 then says `used_answer`.

    Raises InputError with the reason for skipping the question where the required origin gives nothing, and where
    the mode is unknown.
    """
    if mode not in MODES:
        raise InputError(f"localization {mode!r}; expected one of {', '.join(MODES)}")
    texts = (question.question, question.answer) if use_answer else (question.question,)
    if mode == "model":
        return _by_proposal(question, annotation, proposal, texts, use_answer)
    marked = evidence if evidence is not None and evidence.spans else None
    if mode == "auto" and annotation.keyframes is not None and (marked is None or marked.origin != "annotation"):
        return Localized(_by_keyframes(annotation, annotation.keyframes))
    if marked is not None and mode in ("auto", marked.origin):
        return Localized(_by_evidence(annotation, marked, texts, use_answer))
    if mode == "human":
        raise InputError(f"{question.place}: no human span for question {question.qid!r}", "no human span")
    named = entities_by_words(texts, annotation.scene) if mode in ("auto", "lexical") else None
    if named is None and mode == "lexical":
        raise InputError(
            f"{question.place}: no word of {shorten(texts[0])} matches an annotated thing",
            "no question word matches the annotation",
        )
    return Localized(
        FrameLocalization(
            frames=tuple(frame.index for frame in annotation.frames),
            spans=(annotation.clip,),
            entities=entities_of(annotation.scene) if named is None else named,
            span_origin="whole",
            entity_origin="whole" if named is None else "lexical",
            used_answer=use_answer and mode != "whole",
        )
    )


def match_entities(names: Sequence[str | int], scene: Scene) -> tuple[tuple[Entity, ...], tuple[str, ...]]:
    """Things that a model names -> (entities of the scene by tid, names and tids that match none).

    A whole number is a tid, and matches that entity alone.

    A category with a number is one entity, numbered as in prompts: "adult 2" is the second adult by tid, and "adult 1"
    the first or only one; a number beyond the last matches none. Any other name matches all entities of the
    categories that its words stand for: "a man with a guitar" all adults and guitars.
    """
    by_category: dict[str, list[int]] = {}
    for entity in entities_of(scene):
        by_category.setdefault(entity.category, []).append(entity.tid)
    matched: set[int] = set()
    unmatched = []
    for name in names:
        tids = _named(name, by_category)
        matched |= tids
        if not tids:
            unmatched.append(str(name))
    return entities_of(scene, matched), tuple(unmatched)


def read_proposals(path: str) -> dict[str, Proposal]:
    """Model proposals by record id, from JSON lines `{id, model, used_answer, spans: [[start, end], ...],
    entities: [text or tid, ...]}`; spans are seconds of file time, start <= end. Empty lines are ignored, and so are
    further fields, such as the model's `raw` text.

    Raises InputError naming file, line, field and value where a line is anything else, or repeats an id.
    """
    proposals: dict[str, Proposal] = {}
    try:
        lines = utf8(Path(path).read_bytes(), path).split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            proposal = _read_proposal(line, f"{path}:{number}")
            if proposal.id in proposals:
                raise InputError(f"{path}:{number}: id {shorten(proposal.id)} again; expected one line a question")
            proposals[proposal.id] = proposal
    return proposals


def _entities_by_words(
    texts: Sequence[str], scene: Scene, *, all_partners: bool = False
) -> tuple[tuple[Entity, ...], str]:
    """(the entities of lexical A1, "lexical"), or where no word matches (all entities, "whole")."""
    found = entities_by_words(texts, scene, all_partners=all_partners)
    return (entities_of(scene), "whole") if found is None else (found, "lexical")


def _by_evidence(
    annotation: VideoAnnotation, evidence: Evidence, texts: Sequence[str], use_answer: bool
) -> FrameLocalization:
    entities, origin, used_answer = evidence.entities, evidence.origin, evidence.used_answer
    if entities is None:
        entities, origin = _entities_by_words(texts, annotation.scene, all_partners=True)
        used_answer = used_answer or use_answer
    frames = frames_in_spans(annotation.frames, evidence.spans)
    return FrameLocalization(frames, evidence.spans, entities, evidence.origin, origin, used_answer)


def _by_keyframes(annotation: VideoAnnotation, keyframes: Collection[int]) -> FrameLocalization:
    scene = annotation.scene
    frames = tuple(frame.index for frame in annotation.frames if frame.index in keyframes)
    relations: list[Relation] = [*scene.spatial_relations, *scene.temporal_relations]
    seen = ends(relation for relation in relations if held(relation, frames))
    seen |= {track.tid for track in scene.entity_tracking if any(box.frame in frames for box in track.boxes)}
    return FrameLocalization(
        frames=frames or frames_in_spans(annotation.frames, (annotation.clip,)),
        spans=(annotation.clip,),
        entities=entities_of(scene, seen or None),
        span_origin="annotation",
        entity_origin="annotation",
        used_answer=False,
    )


def _by_proposal(
    question: Question, annotation: VideoAnnotation, proposal: Proposal | None, texts: Sequence[str], use_answer: bool
) -> Localized:
    if proposal is None:
        raise InputError(f"{question.place}: no proposal with id {shorten(question.id)}", "no proposal")
    spans = _within(proposal.spans, annotation.clip)
    if not spans:
        proposed = [[span.start_seconds, span.end_seconds] for span in proposal.spans]
        raise InputError(
            f"proposal {shorten(question.id)}: spans {shorten(proposed)}; expected one within the clip, "
            f"{annotation.clip.start_seconds:.3f} to {annotation.clip.end_seconds:.3f} s",
            "no proposed span in the clip",
        )
    entities, unmatched = match_entities(proposal.entities, annotation.scene)
    origin, used_answer = "model", proposal.used_answer
    if not entities:
        entities, origin = _entities_by_words(texts, annotation.scene)
        used_answer = used_answer or use_answer
    frames = frames_in_spans(annotation.frames, spans)
    return Localized(FrameLocalization(frames, spans, entities, "model", origin, used_answer), unmatched)


def _within(spans: Iterable[Span], clip: Span) -> tuple[Span, ...]:
    """Spans cut to the clip and joined where they overlap, ascending; those outside the clip are left out."""
    inside: list[Span] = []
    for span in sorted(spans, key=lambda s: s.start_seconds):
        start = max(span.start_seconds, clip.start_seconds)
        end = min(span.end_seconds, clip.end_seconds)
        if start > end:
            continue
        if inside and start <= inside[-1].end_seconds:
            start, end = inside[-1].start_seconds, max(end, inside.pop().end_seconds)
        inside.append(Span(start, end))
    return tuple(inside)


def _named(name: str | int, by_category: Mapping[str, Sequence[int]]) -> set[int]:
    """The tids that a name or a tid stands for."""
    if isinstance(name, int):
        return {tid for tids in by_category.values() for tid in tids if tid == name}
    numbered = _numbered(name, by_category)
    if numbered is not None:
        return numbered
    return {tid for category in match_categories(name, by_category) for tid in by_category[category]}


def _numbered(name: str, by_category: Mapping[str, Sequence[int]]) -> set[int] | None:
    """Entities of "adult 2"; None where the name is no category of the scene with a number."""
    *base, number = words(name) or ("",)
    phrase = tuple(base[1:] if base[:1] in (["the"], ["a"], ["an"]) else base)
    named = [tids for category, tids in by_category.items() if phrase in own_phrases(category) | {words(category)}]
    if not number.isdecimal() or not named:
        return None
    return {tids[int(number) - 1] for tids in named if 1 <= int(number) <= len(tids)}


def _read_proposal(line: bytes, place: str) -> Proposal:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: {shorten(row)}; expected a JSON object")

    def field(name: str, kind: type, expected: str) -> Any:
        if not isinstance(row.get(name), kind) or row[name] == "":
            value = shorten(row[name]) if name in row else "missing"
            raise InputError(f"{place}: {name} is {value}; expected {expected}")
        return row[name]

    spans = field("spans", list, "a list of [start, end] in seconds")
    entities = field("entities", list, "a list of names or tids")
    for name in entities:
        if type(name) not in (str, int):
            raise InputError(f"{place}: entities holds {shorten(name)}; expected names or tids")
    return Proposal(
        id=field("id", str, "the id of a record"),
        model=field("model", str, "the name of a model"),
        used_answer=field("used_answer", bool, "true or false"),
        spans=tuple(_read_span(pair, place) for pair in spans),
        entities=tuple(entities),
    )


def _read_span(pair: Any, place: str) -> Span:
    numbers = isinstance(pair, list) and len(pair) == 2 and all(type(v) in (int, float) for v in pair)
    if not numbers or pair[0] > pair[1]:
        raise InputError(f"{place}: spans holds {shorten(pair)}; expected [start, end] in seconds, start <= end")
    return Span(float(pair[0]), float(pair[1]))
