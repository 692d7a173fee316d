"""Statistics over videos: intervals, means, differences between conditions."""
