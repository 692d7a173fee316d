"""Processes as a launcher numbers them."""

from __future__ import annotations

import os
from collections.abc import Sequence

RANK = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


SIZE = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


LOCAL_RANK = ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK")


LOCAL_SIZE = ("LOCAL_WORLD_SIZE", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
"""Environment variables of torch's launchers and of three MPIs; the first that is set counts."""


def environment_number(names: Sequence[str], default: int) -> int:
    """The first of some environment variables that is set, as a number."""
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()), default)
