"""Statistics over videos: intervals, means, differences between conditions."""

from cotasks.metrics.means import Summary, summarise

__all__ = ["Summary", "summarise"]
