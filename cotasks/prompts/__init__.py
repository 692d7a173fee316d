"""A record under a condition: which steps a prompt tells, how they are written, and the messages."""
