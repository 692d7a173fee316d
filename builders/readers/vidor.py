"""VidOR: objects, boxes and relations of a video.

Shang et al., "Annotating Objects and Relations in User-Generated Videos", ICMR 2019; format of
github.com/xdshang/VidVRD-helper. Frame ids are 0-based list positions, `end_fid` is exclusive, boxes are
inclusive whole pixels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.builders.readers.checks import Odd, expect_list, expect_object, is_number, is_whole
from cotasks.builders.readers.vidor_files import VidorIndex, find_annotations, read_video
from cotasks.errors import InputError, shorten
from cotasks.records.annotation import VideoAnnotation
from cotasks.records.schema import Box, Entity, Scene, Span, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import NUM_FRAMES, grid_frames, uniform_grid

__all__ = ["ACTIONS", "OBJECTS", "SPATIAL", "VidorIndex", "annotation", "find_annotations", "read_video"]

# fmt: off
OBJECTS = (
    "adult", "aircraft", "antelope", "baby", "baby_seat", "baby_walker", "backpack", "ball/sports_ball", "bat", "bear",
    "bench", "bicycle", "bird", "bottle", "bread", "bus/truck", "cake", "camel", "camera", "car", "cat", "cattle/cow",
    "cellphone", "chair", "chicken", "child", "crab", "crocodile", "cup", "dish", "dog", "duck", "electric_fan",
    "elephant", "faucet", "fish", "frisbee", "fruits", "guitar", "hamster/rat", "handbag", "horse", "kangaroo",
    "laptop", "leopard", "lion", "microwave", "motorcycle", "oven", "panda", "penguin", "piano", "pig", "rabbit",
    "racket", "refrigerator", "scooter", "screen/monitor", "sheep/goat", "sink", "skateboard", "ski", "snake",
    "snowboard", "sofa", "squirrel", "stingray", "stool", "stop_sign", "suitcase", "surfboard", "table", "tiger",
    "toilet", "toy", "traffic_light", "train", "turtle", "vegetables", "watercraft",
)
"""The 80 categories (Shang et al. 2019)."""

ACTIONS = (
    "watch", "bite", "kiss", "lick", "smell", "caress", "knock", "pat", "point_to", "squeeze", "hold", "press",
    "touch", "hit", "kick", "lift", "throw", "wave", "carry", "grab", "release", "pull", "push", "hug", "lean_on",
    "ride", "chase", "get_on", "get_off", "hold_hand_of", "shake_hand_with", "wave_hand_to", "speak_to", "shout_at",
    "feed", "open", "close", "use", "cut", "clean", "drive", "play(instrument)",
)
"""The 42 action predicates (VidVRD-helper, dataset/vidor.py)."""
# fmt: on

SPATIAL = ("above", "away", "behind", "beneath", "in_front_of", "inside", "next_to", "towards")
"""The 8 spatial predicates (Shang et al. 2019)."""

_OBJECTS, _ACTIONS, _SPATIAL = frozenset(OBJECTS), frozenset(ACTIONS), frozenset(SPATIAL)


def annotation(
    raw: Mapping[str, Any], place: str, num_frames: int = NUM_FRAMES, *, strict: bool = True
) -> VideoAnnotation:
    """Parsed VidOR annotation -> the whole video on its uniform grid.

    A grid frame takes the boxes of exactly that frame, none where its list is empty or the video is longer
    than the list; inclusive maxima become `max + 1`. A spatial relation holds at the grid frames with
    `begin_fid <= frame < end_fid`; instances of one triple are united, in order of (subject, predicate,
    object), and a triple that holds at no grid frame is left out. Each instance of an action is kept whole,
    equal ones once, in order of (begin, end, subject, predicate, object). A relation may span frames in which
    a box is missing. Boxes off the grid are neither kept nor checked.

    Args:
        raw: see `read_video`.
        place: where it comes from, for messages.
        num_frames: size of the grid.
        strict: refuse the whole video for one odd box on the grid or one odd relation. Otherwise it is left out and
            stands in `left_out`, of two different boxes of one thing in a frame both; a video most of whose boxes are
            odd is refused all the same.

    Raises:
        InputError: a value that the format does not allow; `reason` says which kind.
    """
    frame_count, width, height = (_size(raw, name, place) for name in ("frame_count", "width", "height"))
    fps = raw.get("fps")
    if not is_number(fps) or fps <= 0:
        raise InputError(f"{place}: fps is {shorten(fps)}; expected a number > 0", "fps not positive")
    entities = _entities(raw, place)
    grid = uniform_grid(0, frame_count - 1, num_frames)
    odd = Odd(strict)
    tracks = _tracks(raw, place, entities, grid, frame_count, width, height, odd)
    odd.refuse_many(sum(len(track.boxes) for track in tracks))
    spatial, temporal = _relations(raw, place, entities, grid, frame_count, odd)
    return VideoAnnotation(
        fps=float(fps),
        frame_count=frame_count,
        width=width,
        height=height,
        clip=Span(0.0, frame_count / fps),
        frames=grid_frames(grid, fps),
        scene=Scene(tuple(entities.values()), tracks, spatial, temporal),
        left_out=odd.left_out(),
    )


def _size(raw: Mapping[str, Any], name: str, place: str) -> int:
    value = raw.get(name)
    if not is_whole(value) or value <= 0:
        raise InputError(f"{place}: {name} is {shorten(value)}; expected a whole number > 0", f"{name} not positive")
    return value


def _entities(raw: Mapping[str, Any], place: str) -> dict[int, Entity]:
    """Entities by tid, in its order."""
    entities: dict[int, Entity] = {}
    for item in expect_list(raw.get("subject/objects"), f"{place}: subject/objects", "malformed annotation"):
        item = expect_object(item, f"{place}: subject/objects", "malformed annotation")
        tid, category = item.get("tid"), item.get("category")
        if not is_whole(tid) or tid < 0:
            raise InputError(f"{place}: object {shorten(item)}; expected a tid from 0", "malformed annotation")
        if tid in entities:
            raise InputError(f"{place}: two objects have tid {tid}; expected one", "two objects with one tid")
        if not isinstance(category, str) or category not in _OBJECTS:
            raise InputError(
                f"{place}: category of tid {tid} is {shorten(category)}; expected one of VidOR's {len(OBJECTS)}",
                "unknown category",
            )
        entities[tid] = Entity(tid, category)
    return dict(sorted(entities.items()))


def _tracks(
    raw: Mapping[str, Any],
    place: str,
    entities: Mapping[int, Entity],
    grid: Sequence[int],
    frame_count: int,
    width: int,
    height: int,
    odd: Odd,
) -> tuple[Track, ...]:
    """The boxes on the grid, by tid and frame."""
    trajectories = expect_list(raw.get("trajectories"), f"{place}: trajectories", "malformed annotation")
    if len(trajectories) > frame_count:
        raise InputError(
            f"{place}: trajectories has {len(trajectories)} frames; expected at most frame_count = {frame_count}",
            "more annotated frames than frame_count",
        )
    boxes: dict[int, list[Box]] = {tid: [] for tid in entities}
    doubtful: set[tuple[int, int]] = set()  # (tid, frame) with boxes that contradict each other
    for frame in grid:
        if frame >= len(trajectories):
            break
        items = expect_list(trajectories[frame], f"{place}: frame {frame}", "malformed annotation")
        for item in items:
            try:
                tid, box, generated = item["tid"], item["bbox"], item["generated"]
                x1, y1, x2, y2 = box["xmin"], box["ymin"], box["xmax"], box["ymax"]
                track = boxes[tid]
            except (KeyError, TypeError):
                odd.note(_box_fault(item, f"{place}: frame {frame}", entities))
                continue
            whole = type(x1) is type(y1) is type(x2) is type(y2) is type(tid) is type(generated) is int
            if not whole or generated not in (0, 1):
                odd.note(_box_fault(item, f"{place}: frame {frame}", entities))
                continue
            is_second = (track and track[-1].frame == frame) or (tid, frame) in doubtful
            if is_second or not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
                odd.note(_wrong_box((x1, y1, x2, y2), f"{place}: frame {frame}: tid {tid}", width, height))
                if is_second and (tid, frame) not in doubtful and track[-1].xyxy != (x1, y1, x2 + 1, y2 + 1):
                    track.pop()
                    doubtful.add((tid, frame))
                continue
            track.append(Box(frame, (float(x1), float(y1), x2 + 1.0, y2 + 1.0), generated == 1))
    return tuple(Track(tid, entities[tid].category, tuple(track)) for tid, track in boxes.items() if track)


def _box_fault(item: object, place: str, entities: Mapping[int, Entity]) -> InputError:
    """What is wrong with an item of a frame's list that could not be read."""
    if isinstance(item, dict) and is_whole(item.get("tid")) and item["tid"] not in entities:
        return InputError(
            f"{place}: tid {item['tid']} is not among subject/objects; expected one of {shorten([*entities])}",
            "tid without an object",
        )
    return InputError(
        f"{place}: {shorten(item, 200)}; expected tid, bbox with xmin, ymin, xmax, ymax in whole pixels, "
        "and generated 0 or 1",
        "malformed annotation",
    )


def _wrong_box(box: tuple[int, int, int, int], place: str, width: int, height: int) -> InputError:
    """What is wrong with a box of whole pixels, inclusive: if nothing else, that it is a second one."""
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        return InputError(f"{place}: box {[*box]}; expected xmin <= xmax and ymin <= ymax", "inverted box")
    if x1 < 0 or y1 < 0 or x2 >= width or y2 >= height:
        expected = f"x within 0 to {width - 1} and y within 0 to {height - 1}"
        return InputError(f"{place}: box {[*box]}; expected {expected}", "box outside the frame")
    return InputError(f"{place}: box {[*box]} is the second one; expected one", "two boxes of one tid in a frame")


def _relations(
    raw: Mapping[str, Any], place: str, entities: Mapping[int, Entity], grid: Sequence[int], frame_count: int, odd: Odd
) -> tuple[tuple[SpatialRelation, ...], tuple[TemporalRelation, ...]]:
    """Spatial relations, then actions, in the order that `annotation` states."""
    spatial: dict[tuple[int, str, int], set[int]] = {}
    actions: set[tuple[int, int, int, str, int]] = set()
    instances = expect_list(raw.get("relation_instances"), f"{place}: relation_instances", "malformed annotation")
    for number, item in enumerate(instances):
        try:
            subject, predicate, target, begin, end = _relation(
                item, f"{place}: relation {number}", entities, frame_count
            )
        except InputError as error:
            odd.note(error)
            continue
        if predicate in _ACTIONS:
            actions.add((begin, end, subject, predicate, target))
        else:
            frames = grid[bisect_left(grid, begin) : bisect_left(grid, end)]
            spatial.setdefault((subject, predicate, target), set()).update(frames)
    return (
        tuple(SpatialRelation(s, p, o, tuple(sorted(f))) for (s, p, o), f in sorted(spatial.items()) if f),
        tuple(TemporalRelation(s, p, o, begin, end) for begin, end, s, p, o in sorted(actions)),
    )


def _relation(
    item: object, at: str, entities: Mapping[int, Entity], frame_count: int
) -> tuple[int, str, int, int, int]:
    """(subject, predicate, object, begin, end) of a relation. Raises InputError where it is odd."""
    item = expect_object(item, at, "malformed annotation")
    subject, target, predicate = item.get("subject_tid"), item.get("object_tid"), item.get("predicate")
    begin, end = item.get("begin_fid"), item.get("end_fid")
    if not (is_whole(subject) and is_whole(target) and is_whole(begin) and is_whole(end)):
        raise InputError(
            f"{at}: {shorten(item, 200)}; expected whole subject_tid, object_tid, begin_fid and end_fid",
            "malformed annotation",
        )
    for tid in (subject, target):
        if tid not in entities:
            raise InputError(
                f"{at}: tid {tid} is not among subject/objects; expected one of {shorten([*entities])}",
                "tid without an object",
            )
    if begin < 0:
        raise InputError(f"{at}: begin_fid is {begin}; expected 0 or more", "relation begins before the video")
    if end <= begin:
        raise InputError(
            f"{at}: begin_fid is {begin}, end_fid {end}; expected begin_fid < end_fid", "relation ends before it begins"
        )
    if end > frame_count:
        raise InputError(
            f"{at}: end_fid is {end}; expected at most frame_count = {frame_count}", "relation ends after the video"
        )
    if not isinstance(predicate, str) or (predicate not in _SPATIAL and predicate not in _ACTIONS):
        raise InputError(
            f"{at}: predicate is {shorten(predicate)}; expected one of VidOR's {len(ACTIONS)} actions or "
            f"{len(SPATIAL)} spatial predicates",
            "unknown predicate",
        )
    return subject, predicate, target, begin, end
