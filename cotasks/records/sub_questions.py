"""Sub-questions: what someone would know who answers a question for the right reason.

From the triples of a record's steps 3 and 4 come questions about the same evidence, at most three a step:

    yes    from 1.00s to 4.00s of the video, is this so at any time: (adult 1, ride, bicycle)?
    no     the same of a triple that is false by the annotation
    which  from 1.00s to 4.00s of the video, what fits the question mark: (adult 1, ride, ?)?

(In a question "adult 1" is followed by its place, see below.)
Each is a record like any other, of the same video, frames, steps and scene, with its options in `choices`; its id is
that of the question with `/sub-3-yes` or the like at its end. A model *knows why* where it has all of a question's
right.

- The time is the longest run of a step-3 triple's frames, or a step-4 triple's span within the clip, in seconds from
  the clip's start, as in prompts.
- Every "yes" has its "no", so that always saying one of them is right in half; where no "no" can be had, neither is
  asked.
- A "no" is hard: the triple with another entity that is there at that time, as subject or object; else with another
  predicate of the scene. It is false by the annotation: at no time asked about is the predicate, or its inverse
  (behind, in front of), annotated between the two, in either direction, since some relations have no direction.
- Entities are named as in prompts. One of several of its category ("adult 2") is nobody to a model that was not told
  who that is, so its place stands beside it, as shares of the frame at a time at which no other of its category is
  near; an entity without such a time is not asked about.
- "Which" offers categories that the scene holds, up to four, one of them right: none of the wrong ones has an entity
  that the relation, or its inverse, is annotated with at that time.

Which triple is asked about, and the order of options, are drawn by the question's id: the same every time.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from cotasks.records.naming import entity_names
from cotasks.records.schema import Entity, Record, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import runs

VERSION = 2
"""Raise it with every change of what is asked; part of a fingerprint."""
KINDS = ("yes", "no", "which")
MOST_OPTIONS = 4
APART = 0.15
"""Least distance of two of a category that are told apart by their places, as a share of the frame's diagonal."""
SEPARATOR = "/sub-"
_INVERSE = (
    *(("above", "beneath"), ("above", "below"), ("above", "under"), ("over", "under"), ("over", "beneath")),
    *(("in_front_of", "behind"), ("front", "behind"), ("inside", "contains"), ("larger", "smaller")),
    *(("left", "right"), ("left_of", "right_of"), ("to_the_left_of", "to_the_right_of")),
)
INVERSE: dict[str, frozenset[str]] = {
    name: frozenset(pair[1 - pair.index(name)] for pair in _INVERSE if name in pair) for name in chain(*_INVERSE)
}
"""Predicate -> those that say the same with the two ends swapped."""


def parent_of(record_id: str) -> str:
    """The id of the question that a sub-question belongs to."""
    return record_id.rpartition(SEPARATOR)[0]


def sub_questions(record: Record) -> list[Record]:
    """The sub-questions of a record, in order of step and kind; none where it has no triple that one can ask about."""
    found = []
    for step, relations in ((3, record.spatial_relations), (4, record.temporal_relations)):
        asking = _Asking(record, step)
        drawn = random.Random(f"sub-questions\0{VERSION}\0{record.id}\0{step}")  # seeded by SHA-512 of the text
        left = set(KINDS)
        between_two = [relation for relation in relations if relation.subject_tid != relation.object_tid]
        for relation in drawn.sample(between_two, len(between_two)):
            if not left:
                break
            for made in (asking.yes_and_no(relation, drawn), asking.which(relation, drawn)):
                for kind, one in made.items():
                    if kind in left:
                        left.remove(kind)
                        found.append((step, KINDS.index(kind), one))
    return [one for _, _, one in sorted(found, key=lambda item: item[:2])]


AnyRelation = SpatialRelation | TemporalRelation


@dataclass(frozen=True)
class _Time:
    """When a question is about: frame numbers of the file, both ends included."""

    first: int
    last: int


class _Asking:
    """What is to be known of a record to ask about one of its steps."""

    def __init__(self, record: Record, step: int) -> None:
        self.record, self.step = record, step
        self.entities = {entity.tid: entity for entity in record.scene.entities}
        self.names = entity_names(record.scene.entities)
        self.tracks: dict[int, Track] = {track.tid: track for track in record.scene.entity_tracking}
        self.annotated: Sequence[AnyRelation] = (*record.scene.spatial_relations, *record.scene.temporal_relations)
        of_step: Sequence[AnyRelation] = (
            record.scene.spatial_relations if step == 3 else record.scene.temporal_relations
        )
        self.predicates = sorted({relation.predicate for relation in of_step})

    def yes_and_no(self, relation: AnyRelation, drawn: random.Random) -> dict[str, Record]:
        """A true triple and a false one; none where there is no false one, or an entity cannot be told."""
        time = self._time(relation)
        if time is None:
            return {}
        true = relation.subject_tid, relation.predicate, relation.object_tid
        for group in self._false(true, time):
            for false in drawn.sample(group, len(group)):
                said = [self._triple(triple, time) for triple in (true, false)]
                if said[0] is not None and said[1] is not None:
                    asked = [f"{self._when(time)}, is this so at any time: {text}?" for text in said]
                    return {
                        kind: self._record(kind, text, ("yes", "no"), index)
                        for index, (kind, text) in enumerate(zip(("yes", "no"), asked, strict=True))
                    }
        return {}

    def which(self, relation: AnyRelation, drawn: random.Random) -> dict[str, Record]:
        """The object of a true triple among categories of the scene; none where there is no wrong one."""
        time = self._time(relation)
        subject = self._who(relation.subject_tid, time) if time is not None else None
        if time is None or subject is None or relation.object_tid not in self.entities:
            return {}
        others = self._partners(relation.subject_tid, relation.predicate, time)
        right = self.entities[relation.object_tid].category
        taken = {self.entities[tid].category for tid in others if tid in self.entities} | {right}
        wrong = sorted({e.category for e in self.entities.values() if e.tid != relation.subject_tid} - taken)
        there = [category for category in wrong if any(self._is_there(e, time) for e in self._of(category))]
        ordered = [*drawn.sample(there, len(there)), *drawn.sample(rest := sorted(set(wrong) - set(there)), len(rest))]
        options = [right, *ordered[: MOST_OPTIONS - 1]]
        if len(options) < 2:
            return {}
        options = drawn.sample(options, len(options))
        text = f"{self._when(time)}, what fits the question mark: ({subject}, {_plain(relation.predicate)}, ?)?"
        return {"which": self._record("which", text, tuple(map(_plain, options)), options.index(right))}

    def _record(self, kind: str, question: str, choices: tuple[str, ...], right: int) -> Record:
        return dataclasses.replace(
            self.record,
            id=f"{self.record.id}{SEPARATOR}{self.step}-{kind}",
            source=f"{self.record.source} sub-questions",
            category="spatial relations" if self.step == 3 else "temporal relations",
            question_type="which one" if kind == "which" else "yes or no",
            question=question,
            answer=choices[right],
            additional_answers=(),
            choices=choices,
            answer_index=right,
        )

    # --- time ---

    def _time(self, relation: AnyRelation) -> _Time | None:
        if isinstance(relation, SpatialRelation):
            stretches = runs(relation.frames, self.record.frames)
            first, last = max(stretches, key=lambda run: (run[1].index - run[0].index, -run[0].index))
            return _Time(first.index, last.index)
        clip, fps = self.record.clip, self.record.fps
        first_frame = max(relation.begin_frame, math.ceil(clip.start_seconds * fps - 1e-6))
        last_frame = min(relation.end_frame - 1, math.floor(clip.end_seconds * fps + 1e-6))
        return _Time(first_frame, last_frame) if first_frame <= last_frame else None

    def _moment(self, frame: int) -> str:
        """Seconds from the clip's start."""
        return f"{round(frame / self.record.fps - self.record.clip.start_seconds, 2) + 0.0:.2f}s"

    def _when(self, time: _Time) -> str:
        if time.first == time.last:
            return f"At {self._moment(time.first)} of the video"
        return f"From {self._moment(time.first)} to {self._moment(time.last)} of the video"

    # --- what the annotation says ---

    def _holds(self, a: int, predicate: str, b: int, time: _Time) -> bool:
        """Whether the predicate or its inverse is annotated between two entities, in either direction, at any time."""
        return any(
            {relation.subject_tid, relation.object_tid} == {a, b}
            and _says(relation.predicate, predicate)
            and _overlaps(relation, time)
            for relation in self.annotated
        )

    def _partners(self, tid: int, predicate: str, time: _Time) -> set[int]:
        """Whoever the predicate or its inverse is annotated with for an entity, in either direction, at any time asked
        about."""
        found = {tid}
        for relation in self.annotated:
            pair = {relation.subject_tid, relation.object_tid}
            if tid in pair and _says(relation.predicate, predicate) and _overlaps(relation, time):
                found |= pair
        return found

    def _false(self, true: tuple[int, str, int], time: _Time) -> Iterator[list[tuple[int, str, int]]]:
        """Triples that are false by the annotation, the hardest group first."""
        subject, predicate, object_ = true
        others = [e for e in self.entities.values() if e.tid not in (subject, object_)]
        swaps = [
            (triple, entity)
            for entity in others
            for triple in ((subject, predicate, entity.tid), (entity.tid, predicate, object_))
            if not self._holds(triple[0], predicate, triple[2], time)
        ]
        yield [triple for triple, entity in swaps if self._is_there(entity, time)]
        yield [
            (subject, other, object_)
            for other in self.predicates
            if other != predicate and not self._holds(subject, other, object_, time)
        ]
        yield [triple for triple, entity in swaps if not self._is_there(entity, time)]

    def _is_there(self, entity: Entity, time: _Time) -> bool:
        track = self.tracks.get(entity.tid)
        return track is not None and any(time.first <= box.frame <= time.last for box in track.boxes)

    def _of(self, category: str) -> list[Entity]:
        return [entity for entity in self.entities.values() if entity.category == category]

    # --- names ---

    def _triple(self, triple: tuple[int, str, int], time: _Time) -> str | None:
        subject, object_ = self._who(triple[0], time), self._who(triple[2], time)
        if subject is None or object_ is None or triple[0] == triple[2]:
            return None
        return f"({subject}, {_plain(triple[1])}, {object_})"

    def _who(self, tid: int, time: _Time) -> str | None:
        """The entity's name, with its place where it is one of several; None where that cannot be told."""
        entity = self.entities.get(tid)
        if entity is None:
            return None
        twins = [other for other in self._of(entity.category) if other.tid != tid]
        if not twins:
            return self.names[tid]
        width, height = self.record.width, self.record.height
        own = {box.frame: box.xyxy for box in self.tracks[tid].boxes} if tid in self.tracks else {}
        if not width or not height:
            return None

        def middle(xyxy: tuple[float, float, float, float]) -> tuple[float, float]:
            return (xyxy[0] + xyxy[2]) / 2 / width, (xyxy[1] + xyxy[3]) / 2 / height

        frames = [frame for frame in own if time.first <= frame <= time.last]
        for frame in sorted(frames, key=lambda frame: (abs(2 * frame - time.first - time.last), frame)):
            places = [
                middle(box.xyxy)
                for twin in twins
                if twin.tid in self.tracks
                for box in self.tracks[twin.tid].boxes
                if box.frame == frame
            ]
            at = middle(own[frame])
            if all(math.dist(at, place) >= APART * math.sqrt(2) for place in places):
                left, top = (round(100 * share) for share in at)
                return (
                    f"{self.names[tid]} [middle at {left}% from the left, {top}% from the top, {self._moment(frame)}]"
                )
        return None


def _overlaps(relation: AnyRelation, time: _Time) -> bool:
    if isinstance(relation, SpatialRelation):
        return any(time.first <= frame <= time.last for frame in relation.frames)
    return relation.begin_frame <= time.last and time.first < relation.end_frame


def _says(annotated: str, predicate: str) -> bool:
    """Whether a predicate is another one or its inverse."""
    return annotated == predicate or annotated in INVERSE.get(predicate, ())


def _plain(name: str) -> str:
    return name.replace("_", " ")
