"""A record under a condition: which steps a prompt tells, how they are written, and the messages."""

from cotasks.prompts.condition import Condition, parse_condition
from cotasks.prompts.prompt import build_prompt

__all__ = ["Condition", "build_prompt", "parse_condition"]
