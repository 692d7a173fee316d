"""Fine-tuning: chat examples, the collator, what it reports, exports, and what the example scripts share."""

from cotasks.training.collator import TrainingCollator
from cotasks.training.examples import instructions

__all__ = ["TrainingCollator", "instructions"]
