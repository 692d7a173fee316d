"""What happens in the NExT-QA clips, and what is asked about it. Each story is told twice, with other casts.

Stories work in shares of the frame: x from 0 to 1 over the width, heights and ground lines over the height. All answers
follow from the script: colours, counts, who does what, when and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cotasks.sample.film import Actor, Clip, Held, Relation, behind, next_to

CATEGORIES = {
    "man": "adult",
    "lady": "adult",
    "boy": "child",
    "girl": "child",
    "puppy": "dog",
    "ball": "ball/sports_ball",
    "teddy": "toy",
    "toy car": "toy",
}
"""Kind of figure, or word for it -> VidOR category, where the names differ."""
FIGURES = {"puppy": "dog"}
HEIGHTS = {
    "man": 0.6,
    "lady": 0.57,
    "boy": 0.42,
    "girl": 0.4,
    "baby": 0.24,
    "dog": 0.26,
    "puppy": 0.19,
    "cat": 0.21,
    "rabbit": 0.2,
    "duck": 0.2,
    "ball": 0.12,
    "frisbee": 0.06,
    "cup": 0.12,
    "bottle": 0.17,
    "table": 0.27,
    "sofa": 0.32,
    "bench": 0.28,
    "suitcase": 0.26,
    "teddy": 0.19,
    "toy car": 0.13,
    "bicycle": 0.34,
}
"""Share of the frame's height."""


@dataclass(frozen=True)
class Asked:
    """A question about a clip."""

    type: str
    question: str
    answer: str
    others: tuple[str, ...] = ()
    """Four wrong options make it multiple choice; none leaves it open-ended."""
    second: str = ""
    """A second reference answer, for the test split."""
    when: tuple[int, int] | None = None
    """Frames [begin, end) that a person would mark as the evidence, for causal and temporal questions."""


@dataclass(frozen=True)
class Story:
    """A clip of the NExT-QA part, with its questions."""

    clip: Clip
    asked: tuple[Asked, ...]


@dataclass(frozen=True)
class Stage:
    """Size, speed and place of a clip."""

    video_id: str
    place: str
    width: int
    height: int
    fps: str
    frames: int

    def actor(
        self,
        tid: int,
        word: str,
        colour: str,
        *keys: tuple[float, float],
        ground: float = 0.9,
        poses: tuple[tuple[float, str], ...] = ((0.0, "stand"),),
        held: tuple[tuple[float, float, int, str], ...] = (),
        facing: int = 1,
    ) -> Actor:
        """An actor whose keys are (share of the clip's length, share of its width), and so are the other times."""
        return Actor(
            tid=tid,
            kind=FIGURES.get(word, word),
            category=CATEGORIES.get(word, word),
            colour=colour,
            height=max(8, round(HEIGHTS[word] * self.height)),
            keys=tuple((self.at(t), x * self.width, ground * self.height) for t, x in keys),
            poses=tuple((self.at(t), pose) for t, pose in poses),
            held=tuple(Held(self.at(b), self.at(e), by, at) for b, e, by, at in held),
            facing=facing,
        )

    def at(self, share: float) -> int:
        """Share of the clip's length -> frame number; 1 is one past the last."""
        return round(share * self.frames)

    def during(self, subject: int, predicate: str, object_: int, begin: float, end: float) -> Relation:
        return Relation(subject, predicate, object_, self.at(begin), self.at(end))

    def story(
        self,
        actors: list[Actor],
        relations: list[Relation],
        near: list[tuple[int, int]],
        *asked: Asked,
        covered: tuple[tuple[int, int], ...] = (),
    ) -> Story:
        """Adds to the scripted relations the stretches at which the pairs `near` stand side by side, and at which the
        first of a pair `covered` is behind the second."""
        clip = Clip(self.video_id, self.place, self.width, self.height, self.fps, self.frames, tuple(actors))
        beside = [
            Relation(a, "next_to", b, begin, end)
            for a, b in near
            for begin, end in next_to(clip, a, b, 0.05 * self.width)
        ]
        hidden = [
            relation
            for a, b in covered
            for begin, end in behind(clip, a, b)
            for relation in (Relation(a, "behind", b, begin, end), Relation(b, "in_front_of", a, begin, end))
        ]
        every = sorted([*relations, *beside, *hidden], key=lambda r: (r.begin, r.end, r.subject, r.predicate, r.object))
        return Story(Clip(**{**vars(clip), "relations": tuple(every)}), asked)

    def when(self, begin: float, end: float) -> tuple[int, int]:
        return self.at(begin), self.at(end)


def _colour_question(thing: str, colour: str, wrong: str) -> list[Asked]:
    return [
        Asked("DO", f"what colour is the {thing}", colour, second=f"{colour} one"),
        Asked("DB", f"is the {thing} {wrong}", "no"),
    ]


def _where(stage: Stage, second: str = "") -> Asked:
    return Asked("DL", "where is this video taken", stage.place, second=second)


def chase(s: Stage, hunter: str, prey: str, hunter_colour: str, prey_colour: str, wrong: str) -> Story:
    """One animal runs after another, which stops at the far side; they stand together."""
    actors = [
        s.actor(0, prey, prey_colour, (0.15, 0.3), (0.6, 0.84)),
        s.actor(1, hunter, hunter_colour, (0.1, 0.1), (0.75, 0.64)),
    ]
    relations = [
        s.during(1, "chase", 0, 0.15, 0.6),
        s.during(0, "away", 1, 0.15, 0.6),
        s.during(1, "behind", 0, 0.0, 1.0),
        s.during(1, "watch", 0, 0.75, 1.0),
    ]
    return s.story(
        actors,
        relations,
        [(1, 0)],
        Asked(
            "CW",
            f"why did the {prey} run to the right",
            f"{hunter} chased it",
            second="to get away",
            when=s.when(0.15, 0.6),
        ),
        Asked(
            "TC", f"what did the {hunter} do while the {prey} was running", f"chase the {prey}", when=s.when(0.15, 0.6)
        ),
        Asked(
            "TN", f"what did the {hunter} do after it came to the {prey}", f"watch the {prey}", when=s.when(0.7, 1.0)
        ),
        Asked("DC", "how many animals are there in the video", "two", second="2"),
        *_colour_question(prey, prey_colour, wrong),
        Asked(
            "CH",
            f"how did the {hunter} follow the {prey}",
            "ran after it",
            ("swam", "flew over it", "rode a bicycle", "stayed on a sofa"),
            when=s.when(0.15, 0.6),
        ),
        Asked(
            "DL",
            f"where is the {prey} at the end",
            "on the right",
            ("on the left", "on a sofa", "in a cup", "under a table"),
        ),
    )


def fetch(s: Stage, thrower: str, thing: str, colour: str, pet: str, pet_colour: str, wrong: str) -> Story:
    """A person throws something, a dog runs after it, bites it and brings it back."""
    actors = [
        s.actor(0, thrower, "blue", (0.0, 0.14), poses=((0.0, "hold"), (0.18, "up"), (0.3, "stand"))),
        s.actor(2, pet, pet_colour, (0.25, 0.32), (0.55, 0.72), (0.62, 0.72), (0.95, 0.34)),
        s.actor(5, thing, colour, (0.22, 0.22), (0.4, 0.8), held=((0.0, 0.22, 0, "hand"), (0.58, 1.0, 2, "mouth"))),
    ]
    relations = [
        s.during(0, "hold", 5, 0.0, 0.22),
        s.during(0, "throw", 5, 0.18, 0.3),
        s.during(2, "chase", 5, 0.25, 0.58),
        s.during(2, "bite", 5, 0.58, 1.0),
        s.during(2, "towards", 0, 0.62, 0.95),
        s.during(0, "watch", 2, 0.25, 1.0),
        s.during(2, "in_front_of", 0, 0.0, 1.0),
    ]
    return s.story(
        actors,
        relations,
        [(2, 5), (0, 2)],
        Asked(
            "CW",
            f"why did the {pet} run away from the {thrower}",
            f"to get the {thing}",
            second=f"chase the {thing}",
            when=s.when(0.18, 0.58),
        ),
        Asked(
            "CH",
            f"how did the {pet} bring back the {thing}",
            "with its mouth",
            second="bite it",
            when=s.when(0.58, 1.0),
        ),
        Asked("TP", f"what did the {thrower} do before the {pet} ran", f"throw the {thing}", when=s.when(0.0, 0.3)),
        Asked(
            "TN",
            f"what did the {pet} do after it got the {thing}",
            f"run back to the {thrower}",
            when=s.when(0.58, 0.95),
        ),
        *_colour_question(thing, colour, wrong),
        _where(s),
        Asked(
            "TC",
            f"what does the {thrower} do while the {pet} runs",
            f"watch the {pet}",
            (f"kick the {pet}", "ride a bicycle", "hug a child", "sit on a sofa"),
            when=s.when(0.25, 0.58),
        ),
        Asked(
            "CH",
            f"how did the {pet} reach the {thing}",
            "ran after it",
            ("rode a bicycle", "was carried to it", "jumped off a sofa", "swam to it"),
            when=s.when(0.25, 0.58),
        ),
    )


def take(s: Stage, who: str, colour: str, thing: str, thing_colour: str, other: str, other_colour: str) -> Story:
    """A person comes to a table with two things on it, grabs one and carries it off."""
    actors = [
        s.actor(0, "table", "brown", (0.0, 0.62)),
        s.actor(
            1,
            who,
            colour,
            (0.08, 0.1),
            (0.4, 0.42),
            (0.6, 0.42),
            (0.95, 0.14),
            poses=((0.0, "stand"), (0.4, "reach"), (0.58, "hold")),
        ),
        s.actor(2, thing, thing_colour, (0.0, 0.55), ground=0.9 - HEIGHTS["table"], held=((0.5, 1.0, 1, "hand"),)),
        s.actor(3, other, other_colour, (0.0, 0.72), ground=0.9 - HEIGHTS["table"]),
    ]
    relations = [
        s.during(1, "towards", 0, 0.08, 0.4),
        s.during(1, "touch", 2, 0.42, 0.5),
        s.during(1, "grab", 2, 0.45, 0.52),
        s.during(1, "carry", 2, 0.6, 0.95),
        s.during(1, "hold", 2, 0.5, 1.0),
        s.during(1, "away", 0, 0.6, 0.95),
        s.during(2, "above", 0, 0.0, 0.5),
        s.during(3, "above", 0, 0.0, 1.0),
        s.during(0, "beneath", 3, 0.0, 1.0),
    ]
    return s.story(
        actors,
        relations,
        [(1, 0), (2, 3)],
        Asked(
            "CW",
            f"why did the {who} walk to the table",
            f"to get the {thing}",
            second=f"take the {thing}",
            when=s.when(0.08, 0.52),
        ),
        Asked(
            "CH",
            f"how did the {who} get the {thing}",
            "grabbed it with the hand",
            second="by hand",
            when=s.when(0.42, 0.55),
        ),
        Asked("TN", f"what did the {who} do after reaching the table", f"grab the {thing}", when=s.when(0.4, 0.58)),
        Asked("TP", f"what did the {who} do before walking away", f"grab the {thing}", when=s.when(0.4, 0.58)),
        Asked("DO", f"what is the {who} holding at the end", thing, second=f"{thing_colour} {thing}"),
        Asked("DB", f"is the {other} still on the table at the end", "yes"),
        _where(s),
        Asked("DO", "what stays on the table", f"the {other}", (f"the {thing}", "the dog", "the ball", "the guitar")),
        Asked("DC", "how many things are on the table at the start", "two", ("one", "three", "four", "none")),
        Asked(
            "TN",
            f"what did the {who} do after grabbing the {thing}",
            "walk away from the table",
            (f"grab the {other}", "sit down on a bench", "kick a ball", "hug a child"),
            when=s.when(0.52, 0.95),
        ),
    )


def meet(s: Stage, left: str, right: str, left_colour: str, right_colour: str, wrong: str, deed: str) -> Story:
    """Two people walk towards each other and hug, or shake hands."""
    doing = {"hug": "hug", "shake_hand_with": "shake hands"}[deed]
    gap = 0.1 if deed == "hug" else 0.22
    actors = [
        s.actor(
            0,
            left,
            left_colour,
            (0.08, 0.12),
            (0.5, 0.5 - gap / 2),
            poses=((0.0, "stand"), (0.52, "hold"), (0.85, "stand")),
        ),
        s.actor(
            1,
            right,
            right_colour,
            (0.08, 0.88),
            (0.5, 0.5 + gap / 2),
            facing=-1,
            poses=((0.0, "stand"), (0.52, "hold"), (0.85, "stand")),
        ),
    ]
    relations = [
        s.during(0, "towards", 1, 0.08, 0.5),
        s.during(1, "towards", 0, 0.08, 0.5),
        s.during(0, deed, 1, 0.52, 0.85),
        s.during(1, deed, 0, 0.52, 0.85),
        s.during(0, "speak_to", 1, 0.85, 1.0),
    ]
    return s.story(
        actors,
        relations,
        [(0, 1)],
        Asked(
            "CW",
            f"why did the {left} walk towards the {right}",
            f"to {doing}",
            second="to meet",
            when=s.when(0.08, 0.85),
        ),
        Asked("CH", f"how do the {left} and the {right} greet", doing, second=f"they {doing}", when=s.when(0.52, 0.85)),
        Asked("TN", "what do they do after they come together in the middle", doing, when=s.when(0.5, 0.85)),
        Asked(
            "TC", f"what does the {left} do at the end of the video", f"speak to the {right}", when=s.when(0.85, 1.0)
        ),
        Asked("DC", "how many people are there", "two", second="2"),
        Asked("DO", f"what colour are the clothes of the {right}", right_colour),
        Asked("DB", f"is the {left} wearing {wrong}", "no"),
        Asked(
            "CW",
            "why do they stop in the middle",
            f"to {doing}",
            ("to pick up a ball", "to ride a bicycle", "to watch a dog", "to sit down"),
            when=s.when(0.5, 0.85),
        ),
    )


def push(s: Stage, who: str, colour: str, thing: str, thing_colour: str, wrong: str) -> Story:
    """Someone pushes a thing to the right, lets go and waves."""
    goes = "crawl" if who == "baby" else "walk"
    actors = [
        s.actor(
            3,
            who,
            colour,
            (0.1, 0.16),
            (0.25, 0.22),
            (0.75, 0.62),
            poses=((0.0, "stand"), (0.25, "reach"), (0.78, "up")),
        ),
        s.actor(4, thing, thing_colour, (0.25, 0.44), (0.75, 0.84)),
    ]
    relations = [
        s.during(3, "push", 4, 0.25, 0.75),
        s.during(3, "touch", 4, 0.25, 0.76),
        s.during(3, "release", 4, 0.76, 0.8),
        s.during(3, "behind", 4, 0.0, 1.0),
    ]
    return s.story(
        actors,
        relations,
        [(3, 4)],
        Asked("CW", f"why did the {thing} move", f"the {who} pushed it", second="pushed", when=s.when(0.25, 0.75)),
        Asked("CH", f"how did the {who} move the {thing}", "by pushing", second="push it", when=s.when(0.25, 0.75)),
        Asked(
            "TN",
            f"what did the {who} do after letting go of the {thing}",
            "raise the hand",
            second="wave",
            when=s.when(0.76, 1.0),
        ),
        Asked(
            "TP", f"what did the {who} do before pushing the {thing}", f"{goes} to the {thing}", when=s.when(0.0, 0.25)
        ),
        Asked(
            "TC", f"what is the {thing} doing while the {who} {goes}s", "moving to the right", when=s.when(0.25, 0.75)
        ),
        *_colour_question(thing, thing_colour, wrong),
        _where(s),
        Asked("DO", f"what does the {who} push", f"a {thing}", ("a sofa", "a dog", "a horse", "a table")),
    )


def kick(s: Stage, kicker: str, colour: str, catcher: str, catcher_colour: str, ball_colour: str, wrong: str) -> Story:
    """A ball is kicked across, picked up and lifted."""
    actors = [
        s.actor(0, kicker, colour, (0.1, 0.1), (0.28, 0.225)),
        s.actor(
            1,
            catcher,
            catcher_colour,
            (0.0, 0.86),
            facing=-1,
            poses=((0.0, "stand"), (0.62, "crouch"), (0.72, "hold"), (0.85, "up")),
        ),
        s.actor(2, "ball", ball_colour, (0.3, 0.3), (0.6, 0.74), held=((0.66, 1.0, 1, "hand"),)),
    ]
    relations = [
        s.during(0, "kick", 2, 0.28, 0.33),
        s.during(2, "towards", 1, 0.3, 0.6),
        s.during(1, "grab", 2, 0.62, 0.7),
        s.during(1, "hold", 2, 0.66, 1.0),
        s.during(1, "lift", 2, 0.72, 1.0),
        s.during(0, "watch", 2, 0.33, 1.0),
    ]
    return s.story(
        actors,
        relations,
        [(0, 2), (1, 2)],
        Asked("CW", "why did the ball roll", f"the {kicker} kicked it", second="kicked", when=s.when(0.28, 0.6)),
        Asked(
            "CH",
            f"how did the {catcher} get the ball",
            "bent down and grabbed it",
            second="picked it up",
            when=s.when(0.6, 0.72),
        ),
        Asked(
            "TN",
            f"what did the {catcher} do after the ball came",
            "pick up the ball",
            second="grab the ball",
            when=s.when(0.6, 0.75),
        ),
        Asked("TP", f"what did the {kicker} do before the ball rolled", "kick the ball", when=s.when(0.1, 0.33)),
        Asked("DC", "how many balls are there", "one", second="1"),
        *_colour_question("ball", ball_colour, wrong),
        _where(s),
        Asked(
            "TC",
            f"what is the {catcher} doing at the end",
            "lifting the ball",
            ("kicking the ball", "sitting on a bench", "riding a bicycle", "feeding a duck"),
            when=s.when(0.85, 1.0),
        ),
        Asked(
            "TP",
            f"what did the {catcher} do before lifting the ball",
            "bend down",
            ("ride a bicycle", "sit on a bench", "throw a frisbee", "walk away"),
            when=s.when(0.62, 0.72),
        ),
    )


def ride(s: Stage, who: str, colour: str, bike_colour: str, wrong: str, watcher: str) -> Story:
    """Someone rides through the picture and out of it; for a while it is empty."""
    actors = [
        s.actor(1, "bicycle", bike_colour, (0.05, -0.1), (0.8, 1.25)),
        s.actor(6, who, colour, (0.0, -0.5), poses=((0.0, "sit"),), held=((0.0, 1.0, 1, "seat"),)),
        s.actor(9, watcher, "orange", (0.3, 0.14), (0.65, -0.2), facing=1),
    ]
    relations = [
        s.during(6, "ride", 1, 0.1, 0.68),
        s.during(6, "above", 1, 0.1, 0.68),
        s.during(1, "beneath", 6, 0.1, 0.68),
        s.during(9, "watch", 6, 0.1, 0.3),
        s.during(9, "away", 6, 0.3, 0.6),
    ]
    return s.story(
        actors,
        relations,
        [(9, 1)],
        Asked(
            "CW", f"why did the {who} move so fast", "riding a bicycle", second="on a bicycle", when=s.when(0.1, 0.68)
        ),
        Asked(
            "CH", f"how did the {who} cross the picture", "rode a bicycle", second="by bicycle", when=s.when(0.1, 0.68)
        ),
        Asked("TC", f"what did the {watcher} do when the {who} came", f"watch the {who}", when=s.when(0.1, 0.3)),
        Asked(
            "TN",
            f"what did the {watcher} do after the {who} passed",
            "walk away",
            second="leave",
            when=s.when(0.3, 0.65),
        ),
        Asked("DL", "what is left in the picture at the end", "nothing"),
        *_colour_question("bicycle", bike_colour, wrong),
        Asked("DO", f"what is the {who} riding", "a bicycle", ("a horse", "a car", "a skateboard", "an elephant")),
    )


def hide(s: Stage, animal: str, colour: str, cover: str, cover_colour: str, wrong: str, seeker: str) -> Story:
    """An animal walks behind something large, is covered, and comes out again; somebody looks for it."""
    actors = [
        s.actor(0, animal, colour, (0.1, 0.14), (0.4, 0.55), (0.65, 0.55), (0.95, 0.9), ground=0.86),
        s.actor(1, cover, cover_colour, (0.0, 0.55)),
        s.actor(2, seeker, "purple", (0.4, 0.1), (0.65, 0.24), poses=((0.0, "stand"), (0.66, "reach"))),
    ]
    relations = [
        s.during(0, "towards", 1, 0.1, 0.4),
        s.during(2, "watch", 0, 0.0, 0.35),
        s.during(2, "point_to", 1, 0.66, 1.0),
        s.during(0, "away", 2, 0.65, 0.95),
    ]
    return s.story(
        actors,
        relations,
        [(0, 1), (2, 1)],
        Asked(
            "CW",
            f"why can the {animal} not be seen in the middle of the video",
            f"it is behind the {cover}",
            second="it hides",
            when=s.when(0.3, 0.75),
        ),
        Asked(
            "CH",
            f"how does the {seeker} show the hiding place",
            "pointing",
            second="points with the hand",
            when=s.when(0.66, 1.0),
        ),
        Asked(
            "TN",
            f"what did the {animal} do after hiding",
            "come out on the right",
            second="walk out",
            when=s.when(0.65, 0.95),
        ),
        Asked("TP", f"what did the {animal} do before it disappeared", f"walk to the {cover}", when=s.when(0.1, 0.4)),
        Asked("DL", f"where is the {animal} hiding", f"behind the {cover}", second=cover),
        *_colour_question(animal, colour, wrong),
        Asked("DC", "how many animals are there", "one", ("two", "three", "four", "none")),
        covered=((0, 1),),
    )


def feed(
    s: Stage, who: str, colour: str, animals: tuple[str, str], animal_colour: str, other_colour: str, wrong: str
) -> Story:
    """Someone walks up to two animals, feeds one and caresses it; the other stays away."""
    first, second = animals
    same = first == second
    one = f"{animal_colour} {first}" if same else first
    actors = [
        s.actor(2, who, colour, (0.1, 0.1), (0.4, 0.33), poses=((0.0, "stand"), (0.42, "reach"), (0.7, "crouch"))),
        s.actor(4, first, animal_colour, (0.0, 0.56), facing=-1),
        s.actor(7, second, other_colour, (0.0, 0.86), facing=-1),
    ]
    relations = [
        s.during(2, "towards", 4, 0.1, 0.4),
        s.during(2, "feed", 4, 0.42, 0.7),
        s.during(2, "caress", 4, 0.7, 1.0),
        s.during(4, "in_front_of", 7, 0.0, 1.0),
        s.during(7, "watch", 4, 0.42, 1.0),
    ]
    return s.story(
        actors,
        relations,
        [(2, 4), (4, 7)],
        Asked(
            "CW",
            f"why did the {who} walk to the right",
            f"to feed the {first}",
            second="feed it",
            when=s.when(0.1, 0.7),
        ),
        Asked(
            "CH",
            f"how does the {who} show care for the {one}",
            "feeds and caresses it",
            second="by feeding it",
            when=s.when(0.42, 1.0),
        ),
        Asked(
            "TN",
            f"what did the {who} do after feeding the {one}",
            "caress it",
            second=f"caress the {first}",
            when=s.when(0.7, 1.0),
        ),
        Asked(
            "TC",
            f"what is the {other_colour} {second} doing while the {one} is fed",
            "watching",
            second="watch",
            when=s.when(0.42, 0.7),
        ),
        Asked("DC", "how many animals are there", "two", second="2"),
        Asked("DO", f"which {first} is fed" if same else "which animal is fed", one, second=f"the {one}"),
        Asked("DB", f"is the {one} fed" if same else f"is the {second} fed", "yes" if same else "no"),
        Asked(
            "DL",
            f"where is the {other_colour} {second}",
            "on the right",
            ("on the left", "on the table", "in the water", "behind the sofa"),
        ),
        Asked(
            "CW",
            f"why did the {who} bend down at the end",
            f"to caress the {one}",
            ("to pick up a ball", "to hide behind a sofa", "to sit on a bench", "to open a suitcase"),
            when=s.when(0.7, 1.0),
        ),
    )


Told = tuple[str, Callable[..., Story], Stage, tuple[object, ...]]

TOLD: tuple[Told, ...] = (
    ("train", chase, Stage("2101010101", "park", 160, 120, "10", 40), ("dog", "cat", "brown", "grey", "orange")),
    (
        "train",
        fetch,
        Stage("2202020202", "beach", 176, 112, "12", 54),
        ("man", "ball", "red", "puppy", "brown", "blue"),
    ),
    (
        "train",
        take,
        Stage("2303030303", "kitchen", 160, 120, "10", 40),
        ("lady", "pink", "cup", "blue", "bottle", "green"),
    ),
    ("train", meet, Stage("2404040404", "street", 176, 112, "8", 32), ("boy", "girl", "green", "yellow", "red", "hug")),
    (
        "train",
        push,
        Stage("2505050505", "living room", 144, 112, "10", 40),
        ("girl", "purple", "suitcase", "black", "green"),
    ),
    (
        "train",
        kick,
        Stage("2606060606", "playground", 176, 112, "12", 48),
        ("boy", "blue", "man", "grey", "orange", "purple"),
    ),
    ("train", ride, Stage("2707070707", "street", 160, 112, "10", 40), ("man", "green", "red", "yellow", "girl")),
    (
        "train",
        hide,
        Stage("2808080808", "living room", 160, 120, "10", 80),
        ("cat", "orange", "sofa", "blue", "black", "boy"),
    ),
    (
        "train",
        feed,
        Stage("2909090909", "park", 160, 112, "8", 32),
        ("lady", "red", ("duck", "duck"), "yellow", "grey", "blue"),
    ),
    (
        "train",
        chase,
        Stage("3010101010", "garden", 112, 144, "10010/1000", 40),
        ("cat", "rabbit", "black", "brown", "pink"),
    ),
    (
        "validation",
        fetch,
        Stage("4101010101", "garden", 160, 120, "10", 48),
        ("lady", "frisbee", "pink", "dog", "black", "green"),
    ),
    (
        "validation",
        take,
        Stage("4202020202", "office", 160, 112, "10", 40),
        ("man", "green", "bottle", "orange", "cup", "purple"),
    ),
    (
        "validation",
        kick,
        Stage("4303030303", "beach", 176, 112, "12", 84),
        ("girl", "yellow", "lady", "blue", "green", "red"),
    ),
    (
        "validation",
        feed,
        Stage("4404040404", "garden", 144, 112, "8", 32),
        ("man", "brown", ("rabbit", "cat"), "grey", "black", "pink"),
    ),
    (
        "test",
        meet,
        Stage("5101010101", "park", 176, 112, "10", 40),
        ("man", "lady", "black", "orange", "green", "shake_hand_with"),
    ),
    ("test", push, Stage("5202020202", "bedroom", 144, 112, "10", 40), ("baby", "green", "toy car", "red", "blue")),
    (
        "test",
        hide,
        Stage("5303030303", "garden", 160, 120, "10", 48),
        ("puppy", "black", "bench", "brown", "yellow", "lady"),
    ),
    ("test", ride, Stage("5404040404", "beach", 160, 112, "10", 40), ("lady", "purple", "blue", "green", "boy")),
)
"""(split, story, stage, cast)."""


def stories(split: str) -> list[Story]:
    """The stories of a split, in a fixed order."""
    return [tell(stage, *cast) for where, tell, stage, cast in TOLD if where == split]
