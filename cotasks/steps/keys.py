"""What the keys of JSON, the heads of table columns and the titles of `key: value` lines mean, step by step.

A key is read without capitals, blanks, signs and words that say nothing: `Start Time`, `startTime` and
`event_start_time` are `start_time`. Keys that two customs use differently are in the table as such, so that what they
hold stays unread: `box_2d` is y-first with Gemini, `frame_index` counts from 0 or from 1.
"""

from __future__ import annotations

import re

_WORDS = {
    "name": """
        label name entity object instance subject target thing phrase category class caption person
        entity_name object_name instance_name class_name label_name category_name entity_label object_label
        entity_id object_id id text 标签 物体 名称 对象 实体
        """,
    "box": """
        bbox_2d bbox box bounding_box boundingbox bounding_box_2d bbox_xyxy box_xyxy xyxy coordinates coordinate coords
        bboxes boxes bounding_boxes bboxes_2d position positions location locations region 边界框 坐标 位置 框
        """,
    "other box": "box_2d boxes_2d bbox_xywh xywh bbox_cxcywh cxcywh yxyx bbox_yxyx polygon point point_2d quad",
    "time": """
        t time timestamp time_stamp second seconds sec moment at when time_sec time_s time_seconds timestamp_s
        timestamp_sec timestamp_seconds 时间 时刻 时间戳
        """,
    "times": "times timestamps time_stamps time_points timepoints moments",
    "frame": "frame frame_number frame_no frame_num frame_id keyframe key_frame 帧",
    "frames": "frames frame_numbers frame_ids keyframes key_frames frame_list 关键帧",
    "other frame": "frame_index frame_idx frame_indices frames_indices frame_indexes",
    "span": """
        span spans segment segments interval intervals range ranges window windows period periods duration clip clips
        time_span time_spans time_segment time_segments time_interval time_intervals time_range time_ranges time_window
        time_windows frame_span frame_range frame_ranges frame_interval temporal_span temporal_range temporal_segment
        temporal_interval timespan timespans timestamp_range 时间段 时间范围
        """,
    "start": """
        start start_time begin begin_time from start_seconds start_sec start_s t_start start_t starttime onset
        time_start beginning starts begins start_timestamp timestamp_start 开始时间 开始
        """,
    "end": """
        end end_time until to end_seconds end_sec end_s t_end end_t endtime offset stop stop_time finish time_end ends
        end_timestamp timestamp_end 结束时间 结束
        """,
    "start frame": "start_frame begin_frame first_frame frame_start from_frame",
    "end frame": "end_frame last_frame frame_end to_frame stop_frame",
    "subject": """
        subject subj agent actor head source entity1 entity_1 entity_a object1 object_1 subject_name subject_entity
        subject_label who 主语 主体
        """,
    "predicate": """
        predicate relation relationship rel verb action interaction predicate_name relation_type relation_name
        spatial_relation spatial_relationship temporal_relation 谓语 关系 动作
        """,
    "object": """
        object obj target tail patient recipient entity2 entity_2 entity_b object2 object_2 object_name object_entity
        object_label 宾语 客体
        """,
    "triple": "triple triples triplet triplets relation_triple relation_triples relation_triplet tuple",
    "entities": """
        entities entity objects object subjects things instances participants labels names people actors entity_names
        object_names characters involved_entities involved_objects 实体 物体 对象
        """,
}
_WHEN = ("frames", "frame", "other frame", "times", "time")
_RUNS = ("span", "start", "end", "start frame", "end frame")
_OF_STEP: dict[int, tuple[str, ...]] = {
    1: (*_WHEN, *_RUNS, "entities", "name"),
    2: ("name", "box", "other box", *_WHEN),
    3: ("subject", "predicate", "object", "triple", *_WHEN, *_RUNS),
    4: ("subject", "predicate", "object", "triple", *_WHEN, *_RUNS),
}
_KIND = {
    step: {key: kind for kind in reversed(kinds) for key in _WORDS[kind].split()} for step, kinds in _OF_STEP.items()
}
_EMPTY_WORDS = re.compile(
    r"^(?:(?:relevant|key(?!frame)|important|main|the|all|evidence|event|selected|involved)_)+(?=.)"
)

CORNERS = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("x_1", "y_1", "x_2", "y_2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("min_x", "min_y", "max_x", "max_y"),
    ("left", "top", "right", "bottom"),
)
"""How the four numbers of a box are called where each has a key: left, top, right, bottom. The first row that is
complete holds, for beside an `x0` an `x1` is the right."""


def plain_key(key: str) -> str:
    """`Start Time`, `startTime`, `event_start_time` -> `start_time`."""
    key = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key)
    key = re.sub(r"[\s\W_]+", "_", re.sub(r"\([^)]*\)", "", key)).strip("_").lower()
    return _EMPTY_WORDS.sub("", key)


def kind_of(key: str, step: int) -> str:
    """What a key holds in a step: a row's name of the table above, or "" for none of them."""
    return _KIND[step].get(plain_key(key), "")
