"""Looking at a record: picture, notebook page, clip."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

import cotasks
from cotasks import Record
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.look.record import CLIP_WIDTH, to_html, write
from cotasks.sample import DATA_DIR
from cotasks.video.reading import probe, read_frames


@pytest.fixture
def record() -> Record:
    return Record.from_row(load_dataset("cotasks", split="validation")[0])


def test_draw_shows_the_video_where_it_is_known(record: Record) -> None:
    own = np.asarray(cotasks.draw(record))
    given = np.asarray(cotasks.draw(record, videos=Path(DATA_DIR, "videos")))
    blank = np.asarray(cotasks.draw(dataclasses.replace(record, source="nextqa")))
    assert np.array_equal(own, given)
    assert own.shape == blank.shape
    assert not np.array_equal(own, blank)
    with pytest.raises(InputError, match="nowhere"):
        cotasks.draw(record, videos="nowhere")


def test_a_notebook_shows_text_and_picture_and_escapes_both(record: Record) -> None:
    page = dataclasses.replace(record, question="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "Step 4, temporal relations" in page
    encoded = re.search(r"base64,([^']+)'", page)
    assert encoded is not None
    with Image.open(io.BytesIO(base64.b64decode(encoded[1]))) as image:
        assert image.size == cotasks.draw(record).size
    assert "no such file" in to_html(record, videos="nowhere")  # the reason stands in for the picture


def test_the_clip_shows_the_grid_with_its_boxes(record: Record, tmp_path: Path) -> None:
    write(record, tmp_path / "clip.mp4")
    info = probe(tmp_path / "clip.mp4")
    assert (info.frame_count, info.width) == (len(record.frames), CLIP_WIDTH)
    assert info.fps == pytest.approx(10)  # the grid is the whole video: it plays at the video's speed
    shown = read_frames(tmp_path / "clip.mp4", [20]).astype(int)[0]
    video = Path(DATA_DIR, "videos", record.video_path)
    plain = read_frames(video, [record.frames[20].index], (CLIP_WIDTH, info.height)).astype(int)[0]
    changed = np.argwhere(np.abs(shown - plain).max(axis=-1) > 60)
    box = next(b for b in record.scene.entity_tracking[0].boxes if b.frame == record.frames[20].index)
    assert record.width is not None
    scale = CLIP_WIDTH / record.width
    edge = (np.abs(changed[:, 1] - box.xyxy[0] * scale) < 4) & (changed[:, 0] > box.xyxy[1] * scale)
    assert edge.sum() > 20  # the left side of the first box is drawn where it belongs
    write(record, tmp_path / "clip.gif")
    with Image.open(tmp_path / "clip.gif") as image:
        assert getattr(image, "n_frames", 1) > 10


def test_show_writes_each_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sheet.png", "clip.mp4", "clip.gif"):
        assert main(["show", "sample", "--index", "1", "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 1000
        assert capsys.readouterr().out.splitlines()[-1] == f"Drew {tmp_path / name}"
