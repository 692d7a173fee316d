"""How answers are generated: prompts made ready, batches, the model called, work shared among processes."""

from cotasks.generate.local.batching import Batching
from cotasks.generate.run import GenerateResult, generate
from cotasks.generate.sampling import Sampling
from cotasks.generate.server.model import ServerOptions
from cotasks.generate.vllm.engine import VllmOptions
from cotasks.models.load import Loading

__all__ = ["Batching", "GenerateResult", "Loading", "Sampling", "ServerOptions", "VllmOptions", "generate"]
