"""The model that the fine-tuning examples begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cotasks.errors import InputError, MissingExtra
from cotasks.models.families import Family, family_of
from cotasks.models.load import TINY, TOY, check_code
from cotasks.models.repairs import repair
from cotasks.sample import TOY_DIR


@dataclass(frozen=True)
class Base:
    """A model to be trained, and what prompts for it depend on."""

    model: Any
    processor: Any
    family: Family
    dtype: str
    """Of the weights as published, such as `bfloat16`; what is trained is to be saved in it."""


def load_base(name: str, dtype: str = "float32") -> Base:
    """Load `tiny`, `toy`, a model folder or a Hub id, on the CPU, for training.

    Args:
        name: `tiny` builds a model with random weights, `toy` is the small one of the package; anything else goes to
            `from_pretrained`.
        dtype: of the weights in memory, as torch names it.

    Raises InputError where the model is not there or of a family without a row in `cotasks.models.families`,
    MissingExtra where torch or transformers is not installed.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "train") from None
    if name == TINY:
        from cotasks.models.tiny import build_tiny

        model, processor = build_tiny()
        repair(model, processor)
        return Base(model.to(getattr(torch, dtype)), processor, family_of(model.config.model_type), "float32")
    source = TOY_DIR if name == TOY else name
    try:
        check_code(source)
        config = transformers.AutoConfig.from_pretrained(source)
        family = family_of(config.model_type)
        processor = transformers.AutoProcessor.from_pretrained(source)
        model = transformers.AutoModelForImageTextToText.from_pretrained(source, dtype=getattr(torch, dtype))
    except InputError as error:
        raise InputError(f"model {name}: {error}", error.reason) from None
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"model {name}: cannot be loaded: {error}") from None
    repair(model, processor)
    published = getattr(config, "dtype", None) or config.get_text_config().dtype or torch.float32
    return Base(model, processor, family, str(published).removeprefix("torch."))


@dataclass(frozen=True)
class TokenCount:
    """The tokens of a text; it can be pickled, for workers."""

    tokenizer: Any

    def __call__(self, text: str) -> int:
        """How many."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])
