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
from cotasks.records.schema import Entity, FrameLocalization, Scene, Span, SpatialRelation, TemporalRelation
from cotasks.records.timeline import frames_in_spans, spans_of_frames
from cotasks.tools.files import utf8
from cotasks.words.lexicon import match_categories, match_predicates, own_phrases, words

MODES = ("auto", "human", "lexical", "whole", "model")

Relation = SpatialRelation | TemporalRelation


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
    entities: tuple[str, ...]
    """Names of things in the model's words."""


@dataclass(frozen=True)
class Localized:
    """A1 of a question."""

    frame_localization: FrameLocalization
    unmatched: tuple[str, ...] = ()
    """Proposed names that match no entity of the scene, as proposed; empty but for mode `model`."""


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

    - evidence, `human` or `annotation`: the spans as given, the frames in them, the entities that it names.
    - keyframes, `annotation`: the span is the clip; the frames are its keyframes; the entities are those with a box or
      a triple at them. Where the grid holds no keyframe, all its frames in the clip and all entities.
    - lexical: see `lexical`; the spans are what runs of its frames cover.
    - model: the proposed spans cut to the clip, those outside it left out; the entities that the proposed names match.
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
    found = lexical(annotation, *texts) if mode in ("auto", "lexical") else None
    if found is not None:
        entities, frames = found
        covered = spans_of_frames(frames, annotation.frames)
        return Localized(FrameLocalization(frames, covered, entities, "lexical", "lexical", use_answer))
    if mode == "lexical":
        raise InputError(
            f"{question.place}: no word of {shorten(texts[0])} matches an annotated thing on the grid",
            "no question word matches the annotation",
        )
    return Localized(
        FrameLocalization(
            frames=tuple(frame.index for frame in annotation.frames),
            spans=(annotation.clip,),
            entities=_entities(annotation.scene),
            span_origin="whole",
            entity_origin="whole",
            used_answer=use_answer and mode == "auto",
        )
    )


def lexical(annotation: VideoAnnotation, *texts: str) -> tuple[tuple[Entity, ...], tuple[int, ...]] | None:
    """A1 by words: (entities by tid, numbers of grid frames, ascending).

    The *matched* entities are those of all categories that a word matches. Of the scene's relations, spatial and
    temporal alike, the *relevant* ones have a matched entity at one end or both, and a predicate that a word matches;
    where no relation of a matched entity has such a predicate, all relations of matched entities are relevant.

    Entities: the matched ones, and both ends of the relevant relations. Frames: those of the grid at which a relevant
    relation holds (a temporal one where begin_frame <= frame < end_frame), or at which a matched entity has a box.

    None where no category matches, even if a predicate does, and where nothing of it falls on a grid frame.
    """
    scene = annotation.scene
    matched, relevant = _by_words(texts, scene)
    grid = [frame.index for frame in annotation.frames]
    frames = {box.frame for track in scene.entity_tracking if track.tid in matched for box in track.boxes}
    for relation in relevant:
        frames.update(_held(relation, grid))
    chosen = tuple(frame for frame in grid if frame in frames)
    return (_entities(scene, matched | _ends(relevant)), chosen) if chosen else None


def match_entities(names: Sequence[str], scene: Scene) -> tuple[tuple[Entity, ...], tuple[str, ...]]:
    """Names of things in a model's words -> (entities of the scene by tid, names that match none).

    A category with a number is one entity, numbered as in prompts: "adult 2" is the second adult by tid, and "adult 1"
    the first or only one; a number beyond the last matches none. Any other name matches all entities of the
    categories that its words stand for: "a man with a guitar" all adults and guitars.
    """
    by_category: dict[str, list[int]] = {}
    for entity in _entities(scene):
        by_category.setdefault(entity.category, []).append(entity.tid)
    matched: set[int] = set()
    unmatched = []
    for name in names:
        tids = _numbered(name, by_category)
        if tids is None:
            tids = {tid for category in match_categories(name, by_category) for tid in by_category[category]}
        matched |= tids
        if not tids:
            unmatched.append(name)
    return _entities(scene, matched), tuple(unmatched)


def read_proposals(path: str) -> dict[str, Proposal]:
    """Model proposals by record id, from JSON lines `{id, model, used_answer, spans: [[start, end], ...],
    entities: [text, ...]}`; spans are seconds of file time, start <= end. Empty lines are ignored, and so are further
    fields, such as the model's `raw` text.

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


def _entities(scene: Scene, tids: Collection[int] | None = None) -> tuple[Entity, ...]:
    """Entities by tid: all, or those with the given tids."""
    return tuple(sorted((e for e in scene.entities if tids is None or e.tid in tids), key=lambda e: e.tid))


def _ends(relations: Iterable[Relation]) -> set[int]:
    return {tid for r in relations for tid in (r.subject_tid, r.object_tid)}


def _held(relation: Relation, frames: Sequence[int]) -> list[int]:
    """Those of `frames` at which a relation holds."""
    if isinstance(relation, TemporalRelation):
        return [frame for frame in frames if relation.begin_frame <= frame < relation.end_frame]
    return [frame for frame in frames if frame in relation.frames]


def _by_words(texts: Sequence[str], scene: Scene) -> tuple[set[int], list[Relation]]:
    """(tids of the matched entities, relevant relations), as `lexical` defines them."""
    present = {entity.category for entity in scene.entities}
    categories = {category for text in texts for category in match_categories(text, present)}
    matched = {entity.tid for entity in scene.entities if entity.category in categories}
    everything: list[Relation] = [*scene.spatial_relations, *scene.temporal_relations]
    relations = [r for r in everything if r.subject_tid in matched or r.object_tid in matched]
    names = {r.predicate for r in relations}
    predicates = {predicate for text in texts for predicate in match_predicates(text, names)}
    return matched, [r for r in relations if r.predicate in predicates] or relations


def _entities_by_words(texts: Sequence[str], scene: Scene) -> tuple[tuple[Entity, ...], str]:
    """(the entities of lexical A1, "lexical"), or where no word matches (all entities, "whole")."""
    matched, relevant = _by_words(texts, scene)
    return (_entities(scene, matched | _ends(relevant)), "lexical") if matched else (_entities(scene), "whole")


def _by_evidence(
    annotation: VideoAnnotation, evidence: Evidence, texts: Sequence[str], use_answer: bool
) -> FrameLocalization:
    entities, origin, used_answer = evidence.entities, evidence.origin, evidence.used_answer
    if entities is None:
        entities, origin = _entities_by_words(texts, annotation.scene)
        used_answer = used_answer or use_answer
    frames = frames_in_spans(annotation.frames, evidence.spans)
    return FrameLocalization(frames, evidence.spans, entities, evidence.origin, origin, used_answer)


def _by_keyframes(annotation: VideoAnnotation, keyframes: Collection[int]) -> FrameLocalization:
    scene = annotation.scene
    frames = tuple(frame.index for frame in annotation.frames if frame.index in keyframes)
    relations: list[Relation] = [*scene.spatial_relations, *scene.temporal_relations]
    seen = _ends(relation for relation in relations if _held(relation, frames))
    seen |= {track.tid for track in scene.entity_tracking if any(box.frame in frames for box in track.boxes)}
    return FrameLocalization(
        frames=frames or frames_in_spans(annotation.frames, (annotation.clip,)),
        spans=(annotation.clip,),
        entities=_entities(scene, seen or None),
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
    entities = field("entities", list, "a list of names")
    for name in entities:
        if not isinstance(name, str):
            raise InputError(f"{place}: entities holds {shorten(name)}; expected names")
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
