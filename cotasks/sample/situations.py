"""What happens in the STAR clips, and what is asked about it: a person takes a thing, then does something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cotasks.sample.film import Actor, Clip, Held, boxes

OBJECTS = (
    *("person", "cup", "book", "bag", "phone", "pillow", "towel", "blanket"),
    *("laptop", "box", "door", "sofa/couch", "chair", "table"),
)
"""Object code number -> class. The numbers are this world's own."""
RELATIONS = ("on", "in_front_of", "on_the_side_of", "near", "behind", "holding", "touching", "sitting_on", "carrying")
VERBS = ("take", "hold", "open", "sit", "put")
SHOWN = {"sofa/couch": "sofa"}
"""Class -> figure and word, where they differ."""
PAST = {"take": "took", "open": "opened", "sit": "sat on", "put": "put down"}
PARTICIPLE = {"take": "taken", "open": "opened", "sit": "sat on", "put": "put down"}
HEIGHTS = {"person": 0.6, "table": 0.27, "sofa": 0.32, "chair": 0.34, "laptop": 0.2, "box": 0.24, "door": 0.66}
SMALL = 0.13
"""Height of what a hand can take, as a share of the frame's."""


def actions() -> list[tuple[str, str]]:
    """(verb, object class) of each action code, in order."""
    carried = OBJECTS[1:8]
    return [(verb, thing) for verb in ("take", "hold", "put") for thing in carried] + [
        *(("open", thing) for thing in ("laptop", "box", "door")),
        *(("sit", thing) for thing in ("sofa/couch", "chair")),
    ]


@dataclass(frozen=True)
class Plot:
    """One STAR video: takes `first` from the table, carries it over, then does `verb` to `second`."""

    video_id: str
    split: str
    place: str
    fps: str
    frames: int
    width: int
    height: int
    person: str
    colour: str
    first: str
    first_colour: str
    verb: str
    second: str
    second_colour: str

    def at(self, share: float) -> int:
        return round(share * self.frames)


PLOTS = (
    Plot("AB1CD", "train", "kitchen", "10", 50, 160, 120, "man", "blue", "cup", "red", "open", "box", "orange"),
    Plot(
        "EF2GH",
        "train",
        "office",
        "15000/1001",
        90,
        176,
        112,
        "lady",
        "green",
        "book",
        "purple",
        "open",
        "laptop",
        "grey",
    ),
    Plot(
        "IJ3KL",
        "train",
        "living room",
        "10",
        50,
        176,
        112,
        "man",
        "orange",
        "pillow",
        "pink",
        "sit",
        "sofa/couch",
        "blue",
    ),
    Plot("MN4OP", "train", "bedroom", "8", 40, 160, 112, "lady", "red", "towel", "yellow", "sit", "chair", "brown"),
    Plot("QR5ST", "train", "office", "10", 50, 112, 144, "man", "purple", "phone", "black", "open", "door", "brown"),
    Plot("UV6WX", "train", "living room", "10", 50, 160, 120, "lady", "pink", "bag", "black", "put", "bag", "black"),
    Plot("YZ7AB", "validation", "kitchen", "10", 50, 160, 112, "lady", "yellow", "bag", "green", "open", "box", "red"),
    Plot(
        "CD8EF",
        "validation",
        "living room",
        "12",
        96,
        176,
        112,
        "man",
        "green",
        "book",
        "red",
        "sit",
        "sofa/couch",
        "purple",
    ),
    Plot("GH9IJ", "test", "office", "10", 50, 160, 120, "man", "grey", "cup", "blue", "open", "laptop", "black"),
    Plot("KL0MN", "test", "bedroom", "10", 50, 176, 112, "lady", "orange", "phone", "grey", "sit", "chair", "green"),
)

TAKE, CARRY, ACT, END = 0.28, 0.42, 0.68, 0.94
"""When the first thing is taken, carried off, the second act begins and ends, as shares of the video."""
PERSON, TABLE = 0, OBJECTS.index("table")


def clip_of(plot: Plot) -> Clip:
    """The script of a plot. tids are object code numbers."""
    w, h, ground = plot.width, plot.height, 0.92 * plot.height
    first, second = OBJECTS.index(plot.first), OBJECTS.index(plot.second)
    sits, puts = plot.verb == "sit", plot.verb == "put"
    pose = {"open": "reach", "sit": "sit", "put": "crouch"}[plot.verb]
    figure = SHOWN.get(plot.second, plot.second)
    table_height = round(HEIGHTS["table"] * h)
    things = [Actor(TABLE, "table", "table", "brown", table_height, ((0, 0.3 * w, ground),))]
    if not puts:
        poses = ((0, "stand"), (plot.at((ACT + END) / 2), "open")) if plot.verb == "open" else ((0, "stand"),)
        height = round(HEIGHTS[figure] * h)
        things.append(Actor(second, figure, plot.second, plot.second_colour, height, ((0, 0.84 * w, ground),), poses))
    holds = [Held(plot.at(TAKE), plot.at(ACT) if puts else plot.frames, PERSON)]
    person = Actor(
        PERSON,
        plot.person,
        "person",
        plot.colour,
        round(HEIGHTS["person"] * h),
        (
            (plot.at(0.05), 0.06 * w, ground),
            (plot.at(0.24), 0.15 * w, ground),
            (plot.at(CARRY), 0.15 * w, ground),
            (plot.at(ACT - 0.04), (0.84 if sits else 0.64) * w, ground),
        ),
        ((0, "stand"), (plot.at(0.24), "reach"), (plot.at(CARRY), "hold"), (plot.at(ACT), pose)),
        (Held(plot.at(ACT), plot.frames, second, "seat"),) if sits else (),
    )
    taken = Actor(
        first,
        SHOWN.get(plot.first, plot.first),
        plot.first,
        plot.first_colour,
        round(SMALL * h),
        (
            (0, 0.26 * w, ground - table_height),
            (plot.at(ACT) - 1, 0.26 * w, ground - table_height),
            (plot.at(ACT), 0.76 * w, ground),
        )
        if puts
        else ((0, 0.26 * w, ground - table_height),),
        ((0, "stand"),),
        tuple(holds),
    )
    return Clip(plot.video_id, plot.place, w, h, plot.fps, plot.frames, (*things, person, taken))


def _during(plot: Plot, frame: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(relations of the person as (name, object class), actions as (verb, object class)) at a frame."""
    share = frame / plot.frames
    relations, acts = [], []
    if share < CARRY:
        relations.append(("on_the_side_of" if share >= TAKE - 0.05 else "in_front_of", "table"))
    if TAKE - 0.05 <= share < TAKE:
        relations.append(("touching", plot.first))
    if TAKE - 0.08 <= share < CARRY:
        acts.append(("take", plot.first))
    held = TAKE <= share < (ACT if plot.verb == "put" else 1.1)
    if held:
        relations += [("holding", plot.first), ("near", plot.first)]
        acts.append(("hold", plot.first))
        if CARRY <= share < ACT:
            relations.append(("carrying", plot.first))
    if share >= ACT - 0.1 and plot.verb != "put":
        relations.append(("behind" if plot.second == "door" else "near", plot.second))
    if ACT <= share < END:
        acts.append((plot.verb, plot.second))
        relations.append(({"open": "touching", "sit": "sitting_on", "put": "touching"}[plot.verb], plot.second))
    return relations, acts


def situations(plot: Plot, begin: int, end: int) -> dict[str, Any]:
    """The annotated frames within [begin, end), in the file's form: 1-based keys in no order, parallel lists.

    Gaps between keyframes go 2, 3, 1, 4, ... frames. Every fifth lacks the person's box, and one box is null.
    """
    clip, codes = clip_of(plot), actions()
    frames, step = [], 0
    frame = 1
    while frame < plot.frames:
        frames.append(frame)
        frame += (2, 3, 1, 4)[step % 4]
        step += 1
    result: dict[str, Any] = {}
    for number, frame in enumerate(frames):
        if not begin <= frame < end:
            continue
        relations, acts = _during(plot, frame)
        found = boxes(clip, frame)
        tids = sorted({OBJECTS.index(thing) for _, thing in relations}) + ([PERSON] if number % 5 != 3 else [])
        shown = [tid for tid in tids if tid in found]
        result[f"{frame + 1:06d}"] = {
            "rel_pairs": [["o000", f"o{OBJECTS.index(thing):03d}"] for _, thing in relations],
            "rel_labels": [f"r{RELATIONS.index(name):03d}" for name, _ in relations],
            "actions": [f"a{codes.index(act):03d}" for act in acts],
            "bbox": [None if number == 4 and tid == TABLE else [float(v) for v in found[tid]] for tid in shown],
            "bbox_labels": [f"o{tid:03d}" for tid in shown],
        }
    return dict(sorted(result.items(), key=lambda item: int(item[0]) * 7 % 11))


def _the(thing: str) -> str:
    return f"The {thing}."


def _bare(choice: str) -> str:
    """A choice as programs name it: "The cup." is "cup"."""
    return choice.removeprefix("The ").removesuffix(".")


def _program(kind: str, verb: str) -> list[dict[str, Any]]:
    """A question as a program, in the source's form; nothing here runs it. Only Interaction's is spelled out."""
    steps: list[tuple[str, list[str]]] = [("Situations", []), ("Actions", [])]
    if kind == "Interaction":
        steps += [("Filter_Actions_with_Verb", [verb]), ("Unique", []), ("Query_Objs", [])]
    return [{"function": name, "value_input": values} for name, values in steps]


def _wrong(right: str, pool: tuple[str, ...], shift: int) -> list[str]:
    """Three others of the pool, going round from a place that `shift` sets."""
    others = [item for item in pool if item != right]
    return [others[(shift + i) % len(others)] for i in range(3)]


def questions(split: str, numbers: dict[str, int]) -> list[dict[str, Any]]:
    """The entries of STAR_<split>.json.

    Args:
        numbers: question type -> next free number; question ids are unique over all files.
    """
    carried, furniture = OBJECTS[1:8], OBJECTS[8:13]
    entries = []
    for index, plot in enumerate(PLOTS):
        if plot.split != split:
            continue
        rate = clip_of(plot).rate
        deed = f"{PAST[plot.verb].capitalize()} the {plot.second}."
        deeds = tuple(
            f"{verb} the {thing}."
            for verb, pool in (("Opened", furniture[:3]), ("Sat on", furniture[3:]), ("Put down", carried))
            for thing in pool
        )
        pool = carried if plot.verb == "put" else furniture
        asked = [
            (
                "Interaction",
                "T1",
                "Which object was taken by the person?",
                _the(plot.first),
                tuple(map(_the, carried)),
                0.0,
                CARRY + 0.1,
            ),
            (
                "Interaction",
                "T2",
                f"Which object was {PARTICIPLE[plot.verb]} by the person?",
                _the(plot.second),
                tuple(map(_the, pool)),
                ACT - 0.1,
                0.98,
            ),
            ("Sequence", "T1", f"What happened after the person took the {plot.first}?", deed, deeds, 0.1, 0.96),
            (
                "Sequence",
                "T2",
                f"Which object did the person take before they {PAST[plot.verb]} the {plot.second}?"
                if plot.verb != "put"
                else "Which object did the person take before they put something down?",
                _the(plot.first),
                tuple(map(_the, carried)),
                0.1,
                0.96,
            ),
            (
                "Prediction",
                "T1",
                "What will the person do next?",
                deed.replace("Opened", "Open").replace("Sat", "Sit").replace("Put", "Put"),
                tuple(d.replace("Opened", "Open").replace("Sat", "Sit") for d in deeds),
                0.1,
                ACT - 0.02,
            ),
            (
                "Feasibility",
                "T1",
                f"Which other object is possible to be {PARTICIPLE[plot.verb]} by the person?",
                _the(plot.second),
                tuple(map(_the, pool)),
                0.1,
                ACT + 0.1,
            ),
        ]
        for kind, template, question, answer, options, begin, end in asked:
            number = numbers.setdefault(kind, 0)
            numbers[kind] += 1
            first, last = plot.at(begin), plot.at(end)
            # where the question looks ahead, what comes after the clip is annotated too: whoever reads past its end
            # finds the answer there
            until = plot.at(END) if kind in ("Prediction", "Feasibility") else last + 1
            texts = _wrong(answer, options, index + number)
            texts.insert((index + number) % 4, answer)
            start = first / rate
            entries.append(
                {
                    "question_id": f"{kind}_{template}_{number}",
                    "question": question,
                    "video_id": plot.video_id,
                    "start": int(start) if start == int(start) else round(start, 1),
                    "end": round(last / rate, 1),
                    "answer": answer,
                    "question_program": _program(kind, "take" if template == "T1" else plot.verb),
                    "choices": [
                        {
                            "choice_id": i,
                            "choice": text,
                            "choice_program": [{"function": "Equal", "value_input": [_bare(text)]}],
                        }
                        for i, text in enumerate(texts)
                    ],
                    "situations": situations(plot, first, until),
                }
            )
    return entries
