"""Rewards of texts that a model wrote about a record: for training by them, and for choosing between samples.

found = reward(record, text)                       # Reward(value, parts, unread), the weighted sum
boxes_reward(record, text, Asked(steps=(2,), answer=False))
funcs, weights = trl_rewards(Scorer(records))      # for TRL's GRPOTrainer
orms["cotasks"] = swift_reward(Scorer(records))    # for ms-swift

Each reward is from 0 to 1, or None where it cannot be measured; what each is, and what gaming it earns, is said in
`cotasks.rewards.parts`. Those of steps are the scores of `cotasks steps`, to the bit.
"""

from cotasks.rewards.asked import Asked, asked_for, true_text
from cotasks.rewards.parts import REWARDS
from cotasks.rewards.reading import Read, read_text
from cotasks.rewards.reward import (
    WEIGHTS,
    Reward,
    answer_reward,
    boxes_reward,
    consistency_reward,
    entities_reward,
    format_reward,
    frames_reward,
    length_reward,
    reward,
    reward_of,
    silence_reward,
    triples_reward,
)
from cotasks.rewards.trainers import ById, Scorer, swift_reward, trl_rewards, trl_sum

__all__ = [
    "REWARDS",
    "WEIGHTS",
    "Asked",
    "ById",
    "Read",
    "Reward",
    "Scorer",
    "answer_reward",
    "asked_for",
    "boxes_reward",
    "consistency_reward",
    "entities_reward",
    "format_reward",
    "frames_reward",
    "length_reward",
    "read_text",
    "reward",
    "reward_of",
    "silence_reward",
    "swift_reward",
    "triples_reward",
    "trl_rewards",
    "trl_sum",
    "true_text",
]
