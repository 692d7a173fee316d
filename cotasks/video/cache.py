"""Keep decoded frames, so that a video is decoded once for all its questions and conditions.

    cache = FrameCache(folder="frames")
    pixels = cache.read("video.mp4", [0, 30, 60], (448, 252))

What has been read lately is kept in memory and, with a folder, on disk too: for other processes, other runs, and
shuffled training. A file of the folder is an array in NumPy's own format with a checksum behind it, named by a hash of
all that could change it: the video's path, size and time of change, the frame numbers, the frame size, and the versions
of the reader and its libraries. Files are written under another name and moved into place, so any number of processes
may share a folder; one that is damaged is removed and its frames are read from the video again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from cotasks.errors import InputError
from cotasks.video.packets import Image, VideoInfo
from cotasks.video.reading import READER, probe, read_frames

MEMORY_BYTES = 512 * 2**20
"""Kept in memory by default, in each process: 11 videos of 64 frames of 640x360."""
FOLDER_BYTES = 50 * 10**9
"""Kept in the folder by default: 1,100 videos of 64 frames of 640x360."""
PROBES = 10_000
"""Videos whose header is remembered."""
CHECKSUM_BYTES = 8
"""Of xxh3, behind the array."""
PART_SECONDS = 3600.0
"""A file half written that is older than this was left by a process that died."""

_log = logging.getLogger("cotasks.video.cache")


class FrameCache:
    """Frames of videos, least recently used out first. It can be shared by threads.

    It can be pickled: in another process, such as a worker of a DataLoader, it begins with an empty memory of its own
    and the same folder.
    """

    def __init__(
        self, folder: str | Path | None = None, memory_bytes: int = MEMORY_BYTES, folder_bytes: int = FOLDER_BYTES
    ) -> None:
        """Make the folder where it is missing.

        Args:
            folder: to keep frames in beyond this process; None for memory alone.
            memory_bytes: most bytes of pixels kept in memory; what is larger alone is not kept there.
            folder_bytes: most bytes of files kept in the folder, by whatever process.

        Raises InputError where a bound is negative or the folder cannot be made.
        """
        for name, value in (("memory_bytes", memory_bytes), ("folder_bytes", folder_bytes)):
            if value < 0:
                raise InputError(f"{name} is {value}; expected 0 or more")
        self.folder = Path(folder) if folder is not None else None
        self.memory_bytes, self.folder_bytes = memory_bytes, folder_bytes
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"{self.folder}: {error.strerror}; expected a folder to keep frames in") from None
        self._lock = threading.Lock()
        self._frames: OrderedDict[str, Image] = OrderedDict()
        self._bytes = 0
        self._infos: OrderedDict[str, VideoInfo] = OrderedDict()
        self._warned = False

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameCache, (self.folder, self.memory_bytes, self.folder_bytes)

    def read(self, path: str | Path, indices: Sequence[int], size: tuple[int, int] | None = None) -> Image:
        """As `cotasks.video.read_frames`, but what it gives cannot be written to: others may hold the same array."""
        key = _key(path, tuple(int(i) for i in indices), size)
        if key is None or len(indices) == 0:
            return read_frames(path, indices, size)  # which says what is wrong with the file
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
                return self._frames[key]
        pixels = self._load(key)
        if pixels is None:
            pixels = read_frames(path, indices, size)
            pixels.flags.writeable = False
            self._save(key, pixels)
        with self._lock:
            self._remember(key, pixels)
        return pixels

    def probe(self, path: str | Path) -> VideoInfo:
        """As `cotasks.video.probe`, remembered."""
        key = _key(path)
        if key is None:
            return probe(path)
        with self._lock:
            info = self._infos.get(key)
        if info is None:
            info = probe(path)
            with self._lock:
                self._infos[key] = info
                while len(self._infos) > PROBES:
                    self._infos.popitem(last=False)
        return info

    def _remember(self, key: str, pixels: Image) -> None:
        if key in self._frames or pixels.nbytes > self.memory_bytes:
            return
        self._frames[key] = pixels
        self._bytes += pixels.nbytes
        while self._bytes > self.memory_bytes:
            _, oldest = self._frames.popitem(last=False)
            self._bytes -= oldest.nbytes

    def _load(self, key: str) -> Image | None:
        """The frames that the folder holds; None where it has none, or damaged ones."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}.npy"
        try:
            pixels = _read_file(path)
        except (FileNotFoundError, PermissionError):  # also where another process has just removed it
            return None
        except Exception as error:  # whatever numpy makes of a file that is no array
            _log.warning("%s: %s; removed, its frames are read from the video again", path, error)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # used now
        return pixels

    def _save(self, key: str, pixels: Image) -> None:
        """Keep frames in the folder. A full or forbidden disk costs time, not the run: it is logged once."""
        if self.folder is None or pixels.nbytes > self.folder_bytes:
            return
        part = self.folder / f"{key}-{uuid.uuid4().hex}.part"
        try:
            with part.open("xb") as file:
                np.lib.format.write_array(file, pixels, allow_pickle=False)
                file.write(_checksum(pixels))
            os.replace(part, self.folder / f"{key}.npy")
            _shrink(self.folder, self.folder_bytes)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            if not self._warned:
                self._warned = True
                _log.warning("%s: frames are not kept: %s", self.folder, error.strerror)


def cached(cache: FrameCache | None) -> tuple[Callable[..., VideoInfo], Callable[..., Image]]:
    """(`probe`, `read_frames`), through a cache where there is one."""
    return (probe, read_frames) if cache is None else (cache.probe, cache.read)


_version = cache(importlib.metadata.version)


def _key(path: str | Path, indices: tuple[int, ...] = (), size: tuple[int, int] | None = None) -> str | None:
    """A name for frames of a file as it is now; None where there is no such file, or no library to read it with."""
    try:
        stat = os.stat(path)
        versions = READER, _version("av"), _version("pillow")
    except (OSError, importlib.metadata.PackageNotFoundError):
        return None
    parts = versions, os.path.abspath(path), stat.st_size, stat.st_mtime_ns, indices, size
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _checksum(pixels: Image) -> bytes:
    return xxhash.xxh3_64(pixels.data).digest()


def _read_file(path: Path) -> Image:
    """The frames of a file. Raises whatever there is to raise where `_save` has not written it."""
    with path.open("rb") as file:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.memmap) or mapped.dtype != np.uint8 or mapped.ndim != 4 or not mapped.nbytes:
            raise ValueError("not an array of frames")
        file.seek(-CHECKSUM_BYTES, os.SEEK_END)
        end = file.tell()
        pixels = np.array(mapped)  # a copy: what is mapped keeps its file open, and a memory may hold thousands
        if end != mapped.offset + mapped.nbytes or file.read() != _checksum(pixels):
            raise ValueError("its checksum is wrong")
    pixels.flags.writeable = False
    return pixels


def _shrink(folder: Path, most: int) -> None:
    """Remove what was used longest ago until `most` bytes are left, and what dead processes left half written."""
    found, total = [], 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                stat = entry.stat()
            except FileNotFoundError:
                continue
            if entry.name.endswith(".npy"):
                found.append((stat.st_mtime_ns, stat.st_size, entry.path))
                total += stat.st_size
            elif entry.name.endswith(".part") and time.time() - stat.st_mtime > PART_SECONDS:
                Path(entry.path).unlink(missing_ok=True)
    for _, size, path in sorted(found):
        if total <= most:
            return
        Path(path).unlink(missing_ok=True)
        total -= size
