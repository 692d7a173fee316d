"""Write records with their frames as shards to stream, for sets that no disk of a training machine holds.

    python -m cotasks.training.shards built --split train --videos NExTVideo --out shards

A row is a record with a column `images`: the frames of its grid, in order, as JPEG or PNG, encoded once a video and
stored once a row group. The parquet files, `<split>-00000-of-00012.parquet`, load with plain `datasets`, from the
folder or, once sent (`hf upload-large-folder`), from the Hub; `cotasks.training.stream` streams them. Videos stand in
the random order of `Records`, each whole in one shard.

A file is written whole or not at all, and one that is there is left: the same command goes on where it was stopped.
`skipped.jsonl` lists the records whose video cannot be read.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List

from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.records.boxes import Size
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import FEATURES, Record, records_to_table
from cotasks.records.videos import Videos, videos_of
from cotasks.tools.files import dump_json, dump_jsonl, read_json, read_jsonl, whole_file
from cotasks.tools.progress import progress_bar
from cotasks.video.check import MODES
from cotasks.video.reading import read_frames

IMAGES = "images"
STREAM_FEATURES: Features = Features({**FEATURES, IMAGES: List(Image())})
"""The columns of a shard: those of a record, and its frames, `images[i]` that of `frames[i]`."""
FORMATS = ("jpeg", "png")
SETTINGS = "shards.json"
"""Beside the shards: how they were written."""
SKIPPED = "skipped.jsonl"

MAX_PIXELS = 768 * 28 * 28
"""Greatest width x height of a stored frame: what Qwen2.5-VL shows of a video's frame at most."""
ROWS_A_SHARD = 128
"""A shard ends with the video that fills it: 64 frames of 448x252 at quality 90 make it about 20 MB."""
BYTES_A_GROUP = 64_000_000
"""Row groups hold at most so many bytes of frames once read, each row counted; a reader holds one."""


@dataclass(frozen=True)
class Encoding:
    """How frames are stored."""

    format: str = "jpeg"
    """`jpeg`, or `png`, which loses nothing and takes some ten times the space."""
    quality: int = 90
    """Of JPEG, 1 to 100."""
    max_pixels: int = MAX_PIXELS
    """Larger frames are made smaller, their aspect kept."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InputError(f"format {self.format!r}; expected {', '.join(FORMATS)}")
        if not 1 <= self.quality <= 100 or self.max_pixels < 1:
            raise InputError(f"quality {self.quality}, max_pixels {self.max_pixels}; expected 1 to 100, and 1 or more")

    def size(self, width: int, height: int) -> Size:
        """(width, height) of a stored frame of a video of that size."""
        scale = min(1.0, (self.max_pixels / (width * height)) ** 0.5)
        return max(1, int(width * scale)), max(1, int(height * scale))

    def encode(self, pixels: Any) -> bytes:
        """A frame, (height, width, 3), as a file."""
        from PIL import Image as Picture

        file = io.BytesIO()
        options = {"quality": self.quality} if self.format == "jpeg" else {"compress_level": 1}
        Picture.fromarray(pixels).save(file, self.format, **options)
        return file.getvalue()


@dataclass(frozen=True)
class Written:
    """What `write_shards` made."""

    shards: tuple[Path, ...]
    rows: int
    skipped: int
    """Records whose video cannot be read; listed in `skipped.jsonl`."""


def write_shards(
    records: Records,
    videos: Path,
    out: Path,
    *,
    encoding: Encoding | None = None,
    rows_a_shard: int = ROWS_A_SHARD,
    video_check: str = "fail",
    threads: int | None = None,
    on_shard: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> Written:
    """Write a split's shards, but for those that are there.

    Args:
        records: what to write.
        videos: folder that `video_path` is relative to.
        out: the folder of the shards; several splits may share it.
        encoding: how frames are stored.
        rows_a_shard: a shard ends with the video that makes it so long or longer.
        video_check: what is done about a video that is not the annotated one, of `cotasks.video.check.MODES`: with
            `fail` its records are left out.
        threads: that decode and encode; by default one a core.
        on_shard: called with (split, shards done, shards in all).

    Raises InputError where the folder holds shards of other records or of another encoding, where it cannot be written,
    and where no record is left.
    """
    encoding = encoding or Encoding()
    if rows_a_shard < 1:
        raise InputError(f"{rows_a_shard} rows a shard; expected 1 or more")
    shown = videos_of(videos, video_check)
    if shown is None or not videos.is_dir():
        raise InputError(f"{videos}: no such folder; expected the folder of the videos")
    plan = plan_shards(records.video_ids, rows_a_shard)
    _settle(out, records, encoding, rows_a_shard)
    paths = [out / f"{records.split}-{number:05d}-of-{len(plan):05d}.parquet" for number in range(len(plan))]
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for number, (path, places) in enumerate(zip(paths, plan, strict=True)):
            if not path.exists():
                _write_shard(path, records, places, shown, encoding, pool)
            on_shard(records.split, number + 1, len(plan))
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in paths)
    skipped = sum(1 for _ in read_jsonl(out / SKIPPED)) if (out / SKIPPED).exists() else 0
    if rows == 0:
        raise InputError(f"{out}: no video can be read; {SKIPPED} says why")
    return Written(tuple(paths), rows, skipped)


def plan_shards(video_ids: Sequence[str], rows_a_shard: int) -> list[range]:
    """The rows of each shard, whole videos; neighbours of one video stand together."""
    shards: list[range] = []
    begin = end = 0
    for _, of_video in groupby(video_ids):
        end += len([*of_video])
        if end - begin >= rows_a_shard:
            shards.append(range(begin, end))
            begin = end
    return [*shards, range(begin, end)] if end > begin else shards


def _settle(out: Path, records: Records, encoding: Encoding, rows_a_shard: int) -> None:
    """Raises InputError where shards of something else are there."""
    ours = {"fingerprint": records.fingerprint, "limit": records.limit, "rows_a_shard": rows_a_shard, **vars(encoding)}
    path = out / SETTINGS
    kept = read_json(path) if path.exists() else {}
    for name, value in kept.get(records.split, ours).items():
        if value != ours.get(name):
            raise InputError(f"{path}: {name} is {value}, in this command {ours.get(name)}; name another --out folder")
    if kept.get(records.split) != ours:
        with whole_file(path) as part:
            dump_json(part, {**kept, records.split: ours})


def _write_shard(
    path: Path, records: Records, places: range, videos: Videos, encoding: Encoding, pool: ThreadPoolExecutor
) -> None:
    found = records.read(places)
    of_videos = [[*group] for _, group in groupby(found, key=lambda record: record.video_id)]
    done = pool.map(lambda group: _encoded(group, videos, encoding), of_videos)
    faults: list[dict[str, str]] = []
    schema = STREAM_FEATURES.arrow_schema
    with whole_file(path) as part, pq.ParquetWriter(
        part,
        schema,
        # the frames of a video stand in each of its rows, and once in the file: as a dictionary of the row group
        use_dictionary=[f"{IMAGES}.list.element.bytes"],
        dictionary_pagesize_limit=2 * BYTES_A_GROUP,
        compression="zstd",
        write_page_checksum=True,
        write_statistics=False,  # the least and the greatest picture
    ) as writer:  # fmt: skip
        for group in _groups(done, faults):
            writer.write_table(_table(group, schema))
    if faults:
        skipped = path.parent / SKIPPED
        old = [*read_jsonl(skipped)] if skipped.exists() else []
        ids = {row["id"] for row in faults}
        dump_jsonl(skipped, [*(row for row in old if row["id"] not in ids), *faults])


Encoded = list[tuple[Record, list[bytes]]]


def _encoded(of_video: Sequence[Record], videos: Videos, encoding: Encoding) -> tuple[Encoded, list[dict[str, str]]]:
    """(the records of a video with their frames, what is wrong with the others)."""
    rows: Encoded = []
    faults: list[dict[str, str]] = []
    files: dict[int, bytes] = {}
    for record in of_video:
        try:
            facts, size = videos.look(record), videos.size(record)
            indices = [frame.index for frame in record.frames]
            missing = [index for index in indices if index not in files]
            stored = encoding.size(facts.info.width, facts.info.height)
            for index, pixels in zip(
                missing, read_frames(videos.file(record), facts.readable(missing), stored), strict=True
            ):
                files[index] = encoding.encode(pixels)
            sized = _with_size(record, size)
            rows.append((sized, [files[index] for index in indices]))
        except Exception as error:  # one odd video must not stop the others
            stop_at_environment_fault(error, record.id)
            reason = error.reason if isinstance(error, InputError) else type(error).__name__
            faults.append({"id": record.id, "reason": reason, "detail": " ".join(str(error).split())[:1000]})
    return rows, faults


def _with_size(record: Record, size: Size) -> Record:
    """The record with the frame size that its boxes refer to, which no video at hand will tell later."""
    import dataclasses

    if record.width and record.height:
        return record
    return dataclasses.replace(record, width=size[0], height=size[1])


def _groups(done: Iterator[tuple[Encoded, list[dict[str, str]]]], faults: list[dict[str, str]]) -> Iterator[Encoded]:
    """The rows of each row group: whole videos, as far as they fit."""
    group: Encoded = []
    size = 0
    for rows, wrong in done:
        faults += wrong
        for row in rows:
            more = sum(map(len, row[1]))
            if group and size + more > BYTES_A_GROUP:
                yield group
                group, size = [], 0
            group.append(row)
            size += more
    if group:
        yield group


def _table(group: Encoded, schema: pa.Schema) -> pa.Table:
    records = records_to_table([record for record, _ in group])
    images = [[{"bytes": data, "path": None} for data in frames] for _, frames in group]
    columns = [records[name].combine_chunks().cast(schema.field(name).type) for name in FEATURES]
    return pa.Table.from_arrays([*columns, pa.array(images, schema.field(IMAGES).type)], schema=schema)


def main() -> None:
    """The command line."""
    from cotasks.training.scripts import run_main

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="`sample`, a folder of `cotasks build`, or a Hub id")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, or to go on with")
    parser.add_argument("--dataset-config", help="config of the data set, where it has several")
    parser.add_argument("--split", default="train", help="(default: train)")
    parser.add_argument("--limit", type=int, help="about so many questions")
    parser.add_argument("--videos", type=Path, help="folder of the videos; the sample brings its own")
    parser.add_argument(
        "--video-check", choices=MODES, default="fail", help="(default: fail, its records are left out)"
    )
    parser.add_argument("--format", choices=FORMATS, default="jpeg", help="of the frames (default: jpeg)")
    parser.add_argument("--quality", type=int, default=90, help="of JPEG (default: 90)")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help=f"of a frame (default: {MAX_PIXELS})")
    parser.add_argument("--rows", type=int, default=ROWS_A_SHARD, help=f"of a shard (default: {ROWS_A_SHARD})")
    parser.add_argument("--threads", type=int, help="that decode and encode (default: one a core)")
    args = parser.parse_args()

    def write() -> int:
        records = load_records(args.data, args.split, args.dataset_config, args.limit)
        folder = records.video_folder(args.videos)
        if folder is None:
            raise InputError("frames are stored; name the folder of the videos with --videos")
        with progress_bar("shards") as update:
            done = write_shards(
                records,
                folder,
                args.out,
                encoding=Encoding(args.format, args.quality, args.max_pixels),
                rows_a_shard=args.rows,
                video_check=args.video_check,
                threads=args.threads,
                on_shard=update,
            )
        print(json.dumps({"shards": len(done.shards), "rows": done.rows, "skipped": done.skipped}))
        print(f"Shards {args.out}")
        return 0

    run_main(write)


if __name__ == "__main__":
    main()
