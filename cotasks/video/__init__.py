"""Frames of video files."""

from cotasks.video.cache import FrameCache
from cotasks.video.packets import VideoInfo
from cotasks.video.reading import probe, read_frames

__all__ = ["FrameCache", "VideoInfo", "probe", "read_frames"]
