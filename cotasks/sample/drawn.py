"""A toy world without end: clips drawn at random from a seed, with their annotation and questions.

    python -m cotasks.sample.drawn DIR --clips 200 --seed 1 --split test
    cotasks build nextqa_oe --data-dir DIR --num-frames 4 --localization DIR/localization.jsonl --out OUT

Figures and places are those of the embedded sample. A clip lasts four seconds and shows a person who does two things,
one after the other, with one or two animals or things. What is asked about deeds and their order can be read off
steps 1 to 4; colours and places only off the picture. `localization.jsonl` says whom each question is about: words
alone would leave out what a person does things with.

Another split may be drawn into the same folder.

The same seed gives the same clips; different seeds and different splits share none.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cotasks.errors import CotasksError, InputError
from cotasks.sample.drawing import sprite
from cotasks.sample.figures import hand
from cotasks.sample.film import Actor, Held, Relation
from cotasks.sample.stories import CATEGORIES, Asked, Stage, Story
from cotasks.sample.world import OE_COLUMNS, SPLITS, encode, group, vidor_annotation

WIDTH, HEIGHT = 112, 84
"""Pixels of a frame: 4 x 3 tokens of a Qwen2.5-VL, which then need not be resized."""
FPS, FRAMES = "4", 16
GRID = 4
"""Frames that the shipped model was trained on: two in each half of a clip. Build with `--num-frames 4`."""
QUESTIONS = 5
"""A clip."""
MOST_SEEDS, MOST_CLIPS = 10_000, 100_000
LOCALIZATION = "localization.jsonl"
VIDEO_MAP = "nextqa/map_vid_vidorID.json"

PEOPLE = {"man": 52, "lady": 50, "boy": 42, "girl": 40}
ANIMALS = {"dog": 26, "cat": 25, "rabbit": 26, "duck": 24}
THINGS = {"ball": 18, "cup": 16, "suitcase": 24, "teddy": 22}
HEIGHTS = {**PEOPLE, **ANIMALS, **THINGS}
"""Pixels, standing. Animals and things are larger than in the embedded sample, whose frames are larger."""
COLOURS = ("red", "blue", "green", "yellow", "purple", "black")
SCENES = ("park", "beach", "street", "kitchen", "bedroom")
GROUND = 0.93


@dataclass(frozen=True)
class Deed:
    """Something that a person does with an animal or a thing."""

    predicate: str
    does: str
    """As in "what does he do: ... the dog"."""
    did: str
    pose: str
    far: bool = False
    """Done from a distance."""
    moves: bool = False
    """The animal or thing goes away from the person."""
    follows: bool = False
    """The person goes along."""
    holds: bool = False


WITH_ANIMALS: tuple[Deed, ...] = (
    Deed("caress", "caress", "caressed", "crouch"),
    Deed("feed", "feed", "fed", "reach"),
    Deed("chase", "chase", "chased", "stand", moves=True, follows=True),
    Deed("wave_hand_to", "wave to", "waved to", "up", far=True),
    Deed("point_to", "point to", "pointed to", "reach", far=True),
)
WITH_THINGS: tuple[Deed, ...] = (
    Deed("hold", "hold", "held", "hold", holds=True),
    Deed("lift", "lift", "lifted", "up", holds=True),
    Deed("push", "push", "pushed", "reach", moves=True, follows=True),
    Deed("kick", "kick", "kicked", "stand", moves=True),
    Deed("point_to", "point to", "pointed to", "reach", far=True),
)


def drawn_stories(count: int, seed: int, split: str) -> list[Story]:
    """`count` clips with their questions; clip i does not depend on `count`.

    Raises InputError for an unknown split, and a count or seed out of range.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r}; expected one of {', '.join(SPLITS)}")
    if not 0 <= seed < MOST_SEEDS:
        raise InputError(f"seed {seed}; expected 0 to {MOST_SEEDS - 1}")
    if not 1 <= count <= MOST_CLIPS:
        raise InputError(f"{count} clips; expected 1 to {MOST_CLIPS}")
    return [_story(number, seed, list(SPLITS).index(split)) for number in range(count)]


def _story(number: int, seed: int, split: int) -> Story:
    draw = np.random.default_rng([seed, split, number])
    video_id = f"{split + 1}{seed:04d}{number:05d}"
    stage = Stage(video_id, _one(draw, SCENES), WIDTH, HEIGHT, FPS, FRAMES)
    who = _one(draw, tuple(PEOPLE))
    kinds = draw.permutation([*ANIMALS, *THINGS])[:2].tolist()
    colours = draw.permutation(COLOURS)[:3].tolist()
    if draw.random() < 0.25:  # both deeds with one and the same
        kinds = kinds[:1]
    script = _Script(draw, who, kinds, colours)
    script.act()
    return stage.story(script.actors(), script.relations(), script.near(), *script.asked(stage))


def _one(draw: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(draw.integers(len(choices)))]


class _Script:
    """What happens in a clip, worked out deed by deed. The person is tid 0; x is in pixels."""

    def __init__(self, draw: np.random.Generator, who: str, kinds: list[str], colours: list[str]) -> None:
        self.draw, self.who, self.kinds, self.colours = draw, who, kinds, colours
        self.turn = int(draw.integers(7, 10))
        """The first frame of the second deed; until then the person goes from one to the other."""
        self.times = ((int(draw.integers(0, 3)), self.turn - 1), (self.turn + 1, FRAMES))
        side = 1 if draw.random() < 0.5 else -1
        self.sides = (side, -side) if len(kinds) == 2 else (side, side)
        self.targets = (0, len(kinds) - 1)
        """Which of `kinds` each deed is done with."""
        self.deeds: list[Deed] = []
        self.person: list[tuple[int, float]] = []
        self.paths: list[list[tuple[int, float]]] = [[] for _ in kinds]
        self.poses: list[tuple[int, str]] = [(0, "stand")]
        self.held: list[list[Held]] = [[] for _ in kinds]
        self.watching = [kind in ANIMALS and draw.random() < 0.4 for kind in kinds]

    def act(self) -> None:
        """Both deeds."""
        for number, ((begin, end), target, side) in enumerate(zip(self.times, self.targets, self.sides, strict=True)):
            kind, path = self.kinds[target], self.paths[target]
            deeds = WITH_ANIMALS if kind in ANIMALS else WITH_THINGS
            done = [deed.predicate for deed in self.deeds if len(self.kinds) == 1]
            if done:  # what is done to the same is another deed, and it has gone far enough
                deeds = tuple(d for d in deeds if d.predicate not in done and not d.moves)
            deed = _one(self.draw, deeds)
            at = path[-1][1] if path else self._at(0.5 + side * (0.1 if deed.moves else 0.31))
            to = self._at(0.5 + side * 0.37) if deed.moves else at
            self._perform(deed, target, side, (begin, end), at, to)
            if number == 0:
                self.poses.append((end, "stand"))

    def _at(self, share: float) -> float:
        return (share + float(self.draw.uniform(-0.03, 0.03))) * WIDTH

    def _perform(self, deed: Deed, target: int, side: int, time: tuple[int, int], at: float, to: float) -> None:
        begin, end = time
        kind = self.kinds[target]
        reach = hand(self.who, deed.pose)[0] * HEIGHTS[self.who] + _half(kind, self.colours[target + 1])
        apart = {"kick": reach - 2, "chase": reach + 12}.get(deed.predicate, reach - 1)
        stand = self._at(0.5 - side * 0.12) if deed.far else at - side * apart
        last = to - side * apart if deed.follows else stand
        self.person += [(begin, stand), (end - 1, last)]
        self.paths[target] += [(begin, at), (end - 1, to)]
        self.poses.append((begin, deed.pose))
        if deed.holds:
            self.held[target].append(Held(begin, end, 0))
        self.deeds.append(deed)

    def actors(self) -> list[Actor]:
        """The person last, on top of what it touches."""
        actors = [
            self._actor(tid, kind, self.colours[tid], self.paths[tid - 1], held=tuple(self.held[tid - 1]), facing=-side)
            for tid, (kind, side) in enumerate(zip(self.kinds, self.sides, strict=False), 1)
        ]
        person = self._actor(0, self.who, self.colours[0], self._walk(), facing=self.sides[0])
        return [*actors, replace(person, poses=tuple(dict(self.poses).items()))]

    def _walk(self) -> list[tuple[int, float]]:
        """The person's path; where it would look away from what it deals with, a last step turns it round."""
        path: list[tuple[int, float]] = []
        for number, side in enumerate(self.sides):
            (begin, x), (end, to) = self.person[2 * number : 2 * number + 2]
            came_from = path[-1][1] if path else x - side
            if x == to and (x - came_from) * side <= 0:
                path += [(begin - 1, x - side)] if begin > 0 else []
            path += [(begin, x), (end, to)]
        return path

    @staticmethod
    def _actor(
        tid: int,
        kind: str,
        colour: str,
        path: Sequence[tuple[int, float]],
        held: tuple[Held, ...] = (),
        facing: int = 1,
    ) -> Actor:
        keys = tuple((frame, x, GROUND * HEIGHT) for frame, x in path)
        return Actor(tid, kind, CATEGORIES.get(kind, kind), colour, HEIGHTS[kind], keys, held=held, facing=facing)

    def relations(self) -> list[Relation]:
        """What the script says holds; who stands next to whom is read off the boxes."""
        found = []
        for deed, target, (begin, end) in zip(self.deeds, self.targets, self.times, strict=True):
            found.append(Relation(0, deed.predicate, target + 1, begin, end))
        if len(self.kinds) == 2:
            found.append(Relation(0, "towards", 2, self.turn - 1, self.turn + 1))
        for tid, watching in enumerate(self.watching, 1):
            if watching:
                found.append(Relation(tid, "watch", 0, 0, FRAMES))
        return found

    def near(self) -> list[tuple[int, int]]:
        return [(0, tid) for tid in range(1, len(self.kinds) + 1)]

    def asked(self, stage: Stage) -> list[Asked]:
        """QUESTIONS of those that the clip answers: three about deeds, the rest about what there is to see."""
        deeds = self._about_deeds()
        sights = self._about_sights(stage)
        chosen = [deeds[i] for i in self.draw.permutation(len(deeds))[:3]]
        return chosen + [sights[i] for i in self.draw.permutation(len(sights))[: QUESTIONS - len(chosen)]]

    def _about_deeds(self) -> list[Asked]:
        who = self.who
        (one, two), (x, y) = self.deeds, (self.kinds[target] for target in self.targets)
        first, second = f"{one.does} the {x}", f"{two.does} the {y}"
        found = [
            Asked("TC", f"what does the {who} do at the start", first),
            Asked("TC", f"what does the {who} do at the end", second),
        ]
        if len(self.kinds) == 1:
            return [*found, Asked("TP", f"what does the {who} do first with the {x}", first)]
        return [
            *found,
            Asked("TN", f"what does the {who} do after being with the {x}", second),
            Asked("TP", f"what does the {who} do before turning to the {y}", first),
            *(
                asked
                for deed, thing in ((one, x), (two, y))
                for asked in (
                    Asked("CW", f"why does the {who} turn to the {thing}", f"to {deed.does} it"),
                    Asked("CH", f"how did the {who} deal with the {thing}", f"{deed.did} it"),
                )
            ),
        ]

    def _about_sights(self, stage: Stage) -> list[Asked]:
        words = [self.who, *self.kinds]
        animals = sum(kind in ANIMALS for kind in self.kinds)
        found = [
            Asked("DC", "how many animals are there", ("none", "one", "two")[animals]),
            Asked("DL", "where is this video taken", stage.place),
        ]
        for word, colour in zip(words, self.colours, strict=False):
            found.append(Asked("DO", f"what colour is the {word}", colour))
            other = _one(self.draw, COLOURS)
            shown = colour if self.draw.random() < 0.5 else other
            found.append(Asked("DB", f"is the {word} {shown}", "yes" if shown == colour else "no"))
        for kind, path, held in zip(self.kinds, self.paths, self.held, strict=True):
            if not held:
                share = path[-1][1] / WIDTH
                found.append(
                    Asked("DL", f"where is the {kind} at the end", "on the right" if share > 0.5 else "on the left")
                )
        return found


def _half(kind: str, colour: str) -> float:
    """Half the width of a figure in pixels, about."""
    return -sprite(kind, colour, HEIGHTS[kind], "stand", 0, 1).left - 2


def annotation_files(stories: Sequence[Story], split: str) -> dict[str, str]:
    """Relative path -> text of every file that `cotasks build nextqa_oe --data-dir` reads."""
    part = "training" if split == "train" else "validation"
    paths = {story.clip.video_id: f"{group(story.clip.video_id)}/{story.clip.video_id}" for story in stories}
    files = {f"vidor/{part}/{paths[s.clip.video_id]}.json": _dump(vidor_annotation(s)) for s in stories}
    files[VIDEO_MAP] = _dump(paths)
    rows = io.StringIO()
    writer = csv.DictWriter(rows, OE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for story in stories:
        for qid, asked in enumerate(story.asked):
            writer.writerow(
                {
                    "video": story.clip.video_id,
                    "frame_count": story.clip.frames,
                    "width": story.clip.width,
                    "height": story.clip.height,
                    "question": asked.question,
                    "answer": asked.answer,
                    "qid": qid,
                    "type": asked.type,
                }
            )
    files[f"nextqa/oe/{SPLITS[split]}.csv"] = rows.getvalue()
    files[LOCALIZATION] = "".join(f"{_dump(row)}\n" for story in stories for row in localization_rows(story, split))
    return files


def localization_rows(story: Story, split: str) -> list[dict[str, Any]]:
    """Step 1 of a clip's questions, as lines of `cotasks build --localization`: the whole clip, and by tid whom a
    question names and whom these deal with. The person deals with all others, and these with the person alone."""
    clip = story.clip
    rows = []
    for qid, asked in enumerate(story.asked):
        words = set(asked.question.split())
        named = {a.tid for a in clip.actors if a.kind in words or ("animals" in words and a.kind in ANIMALS)}
        about = {0, *named} if named and 0 not in named else {actor.tid for actor in clip.actors}
        row = {"id": f"nextqa/{split}/{clip.video_id}/{qid}", "model": "drawn", "used_answer": False}
        seconds = clip.frames / int(FPS)
        rows.append({**row, "spans": [[0.0, seconds]], "entities": sorted(about), "raw": ""})
    return rows


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def write_annotation(folder: Path, stories: Sequence[Story], split: str) -> None:
    """Write `annotation_files` below a folder; the annotation of other splits there stays."""
    for name, text in annotation_files(stories, split).items():
        path = folder / name
        if name == VIDEO_MAP and path.exists():
            text = _dump({**json.loads(path.read_text(encoding="utf-8")), **json.loads(text)})
        if name == LOCALIZATION and path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            text = "".join(line for line in lines if f"/{split}/" not in json.loads(line)["id"]) + text
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def write_drawn(folder: Path, count: int, seed: int, split: str) -> None:
    """Write a data folder: annotation of one split, and below `videos/` the clips."""
    stories = drawn_stories(count, seed, split)
    write_annotation(folder, stories, split)
    for story in stories:
        name = story.clip.video_id
        encode(story.clip, folder / "videos" / group(name) / f"{name}.mp4")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draw clips of a toy world, with annotation as NExT-QA and VidOR.")
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--clips", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--split", default="test", choices=list(SPLITS), help="(default: test)")
    args = parser.parse_args()
    try:
        write_drawn(args.folder, args.clips, args.seed, args.split)
    except CotasksError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
