"""How answers are generated: prompts made ready, batches, the model called, work shared among processes."""

from cotasks.generate.run import GenerateResult, generate
from cotasks.generate.sampling import Sampling

__all__ = ["GenerateResult", "Sampling", "generate"]
