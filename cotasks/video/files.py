"""Which file is a record's video, and what a file is that is none."""

from __future__ import annotations

import re
from pathlib import Path

from cotasks.errors import InputError, shorten

CONTAINERS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "nut", "rm", "ivf")
"""Formats that are opened, by FFmpeg's names (`mov` is MP4 and QuickTime, `matroska` WebM too, `asf` WMV). What is not
listed is no video here: pictures and animated pictures, raw streams, which say no times, text that FFmpeg would draw,
and playlists, which open other files."""

PICTURE_BRANDS = ("avif", "avis", "heic", "heim", "heis", "heix", "mif1", "msf1")
"""`major_brand` of pictures that come in an MP4 container: AVIF and HEIF (ISO/IEC 23008-12)."""

_SIGNATURES = (
    (re.compile(rb"version https://git-lfs\."), "a Git LFS pointer; run git lfs pull"),
    (re.compile(rb"\s*#EXTM3U|ffconcat|\[playlist\]"), "a playlist"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*", re.DOTALL), "a picture"),
    (re.compile(rb"ID3|fLaC|RIFF....WAVE", re.DOTALL), "a sound, no video stream"),
    (re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE), "a web page"),
    (re.compile(rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!"), "an archive"),
)
"""(what the file begins with, what it then is)."""


def video_file(folder: str | Path, video_path: str) -> Path:
    """The file of a record's `video_path` in the video folder; it may be missing.

    A link in the folder may lead elsewhere: whoever made the folder made it. Raises InputError where the path itself
    leaves the folder, or names none of its files.
    """
    parts = [part for part in re.split(r"[/\\]", video_path) if part not in ("", ".")]
    absolute = video_path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", video_path)
    if not parts or ".." in parts or absolute or "\0" in video_path:
        raise InputError(
            f"video_path {shorten(video_path)}: expected a path below the video folder", "video path outside the folder"
        )
    return Path(folder, video_path)


def no_video(path: str | Path, why: str) -> InputError:
    """The error for a file that is no video: what it is instead where its first bytes say so, else `why`."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError:
        head = b""
    kind = next((kind for signature, kind in _SIGNATURES if signature.match(head)), "")
    if not kind and _is_text(head):
        kind = "a text"
    if kind.startswith("a Git LFS pointer"):
        return InputError(f"{path}: not a video: {kind}", "Git LFS pointer, not a video")
    return InputError(
        f"{path}: not a video{kind and f': {kind}'}{why if not kind else ''}; expected one", "not a video"
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head[:500].decode()
    except UnicodeDecodeError as error:
        if error.start < len(head[:500]) - 4:  # else a letter that is cut in two
            return False
        text = head[: error.start].decode()
    return bool(text) and all(letter.isprintable() or letter in "\t\n\r\f\ufeff" for letter in text)
