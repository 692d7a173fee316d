"""Run a script under FSDP on CPUs: `accelerate launch --config_file FSDP.yaml tests/fsdp_on_cpu.py SCRIPT OPTIONS`.

On a CPU accelerate (1.15) reads the FSDP part of a file and leaves it aside: processes on CPUs are MULTI_CPU to it,
which is DistributedDataParallel. torch's own `fully_shard` takes a CPU and gloo, so what is missing is the type alone,
which is set here. Everything else is accelerate's and the file's.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

_init = AcceleratorState.__init__


def _with_fsdp(self: Any, *args: Any, fsdp_plugin: Any = None, **named: Any) -> None:
    _init(self, *args, fsdp_plugin=fsdp_plugin, **named)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin


if __name__ == "__main__":
    AcceleratorState.__init__ = _with_fsdp
    sys.argv = sys.argv[1:]
    import accelerate
    from torch.distributed.fsdp import FSDPModule

    prepare = accelerate.Accelerator.prepare

    def said(self: Any, *args: Any, **named: Any) -> Any:
        """What was made of the model, for the test to read."""
        made = prepare(self, *args, **named)
        model = made[0] if isinstance(made, tuple | list) else made
        sharded = sum(isinstance(module, FSDPModule) for module in model.modules())
        kinds = {type(weight).__name__ for weight in model.parameters()}
        print(f"prepared: {self.distributed_type.value}, {sharded} sharded modules, {sorted(kinds)}", flush=True)
        return made

    accelerate.Accelerator.prepare = said
    runpy.run_path(sys.argv[0], run_name="__main__")
