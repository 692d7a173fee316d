"""The `datasets` builder behind `load_dataset("cotasks")`.

import cotasks
from datasets import load_dataset

load_dataset("cotasks")                                    # the embedded sample
load_dataset("cotasks", "nextqa_oe")                         # NExT-QA, open-ended; the annotation is downloaded
load_dataset("cotasks", "nextqa_oe", data_dir="annotation")  # the same from a folder of one's own
load_dataset("cotasks", "star", data_dir="annotation", num_frames=32)
load_dataset("cotasks", "own", data_dir="mine")              # your own questions and annotation
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key

from cotasks.builders.assemble import (
    Built,
    Lookups,
    SplitPlan,
    VideoTask,
    build_video,
    checked,
    no_record_line,
    plan_splits,
)
from cotasks.builders.download import fetched, sources_of
from cotasks.builders.readers.catalog import CATALOG
from cotasks.builders.readers.source import SPLITS
from cotasks.builders.sources import BuildOptions, fingerprint
from cotasks.errors import InputError
from cotasks.records.annotation import Skipped
from cotasks.records.schema import FEATURES
from cotasks.records.timeline import NUM_FRAMES
from cotasks.tools.collector import without_gc

logger = datasets.logging.get_logger(__name__)

VERSION = "0.1.0"
VIDEOS_A_TABLE = 16
"""So many videos' records are held in memory before they are written."""


@dataclass
class CoTasksConfig(datasets.BuilderConfig):
    """What `load_dataset("cotasks", name, ...)` takes; see `BuildOptions` for each."""

    version: Any = VERSION
    vidor: str | Sequence[str] = ()
    videos: str | None = None
    source: str | None = None
    license: str | None = None
    localization: str = "auto"
    use_answer: bool = False
    grid: str = "snapped"
    num_frames: int = NUM_FRAMES
    limit: int | None = None
    strict: bool = False

    @property
    def options(self) -> BuildOptions:
        """The same as `BuildOptions`, checked. Raises InputError."""
        return BuildOptions(
            config=self.name,
            data_dir=self.data_dir,
            vidor=(self.vidor,) if isinstance(self.vidor, str) else tuple(self.vidor),
            videos=self.videos,
            source_name=self.source,
            license=self.license,
            localization=self.localization,
            use_answer=self.use_answer,
            grid=self.grid,  # type: ignore[arg-type]  # BuildOptions checks it
            num_frames=self.num_frames,
            limit=self.limit,
            strict=self.strict,
        )

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The cache key: the config's name and a fingerprint of the options and the source files' contents."""
        if custom_features is not None:
            raise InputError("cotasks: features are fixed; use Dataset.cast after loading")
        return f"{self.name}-{fingerprint(self.options)[:32]}"


class CoTasks(datasets.ArrowBasedBuilder):
    """CoTask records from the source files; one row a question."""

    BUILDER_CONFIG_CLASS = CoTasksConfig
    BUILDER_CONFIGS = [  # noqa: RUF012  # datasets reads a list
        CoTasksConfig(name=source.config, description=source.description) for source in CATALOG.values()
    ]
    DEFAULT_CONFIG_NAME = next(iter(CATALOG))

    def __init__(self, *args: Any, data_files: Any = None, **kwargs: Any) -> None:
        if data_files:
            raise InputError("cotasks takes data_dir, the folder of the source files, and no data_files")
        super().__init__(*args, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description=self.config.description or "", features=FEATURES.copy())

    def _fetched(self, force: bool = False) -> BuildOptions:
        """The options with the folder of the source files, downloaded where none was given."""
        return fetched(self.config.options, self._cache_downloaded_dir, self.token, force)

    def _usable_splits(self, options: BuildOptions) -> tuple[dict[str, SplitPlan], dict[str, str]]:
        """Plans of the splits that have a record, and why the others are left out."""
        plans, left_out = plan_splits(options, SPLITS)
        for split, plan in list(plans.items()):
            reasons = Counter(skipped.reason for skipped in plan.skipped)
            for item in (item for task in plan.tasks for item in build_video(task, plan.lookups)):
                if isinstance(item, Built):
                    break
                reasons[item.reason] += 1
            else:
                left_out[split] = no_record_line(reasons)
                del plans[split]
        return plans, left_out

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        options = self._fetched(dl_manager.download_config.force_download)
        if self.config.options.downloads:
            # they are there already; the manager counts them for `DatasetInfo.download_size`
            dl_manager.download([str(options.root / source.path) for source in sources_of(options.config)])
        plans, left_out = self._usable_splits(options)
        for split, reason in left_out.items():
            logger.warning(f"cotasks/{self.config.name}: split {split} is left out: {reason}")
        if not plans:
            raise InputError(f"cotasks/{self.config.name}: " + "; ".join(f"{s}: {r}" for s, r in left_out.items()))
        for split, plan in plans.items():
            if plan.skipped:
                reasons = Counter(skipped.reason for skipped in plan.skipped)
                logger.warning(f"cotasks/{self.config.name}: split {split}: {no_record_line(reasons)}")
        # `tasks` is the one list: `num_proc` deals its items out to the workers
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"tasks": list(plan.tasks), "lookups": plan.lookups})
            for split, plan in plans.items()
        ]

    def _generate_tables(self, tasks: list[VideoTask], lookups: Lookups) -> Iterator[tuple[Key, pa.Table]]:
        reasons: Counter[str] = Counter()
        remaining = iter(tasks)
        number = 0
        while chunk := list(islice(remaining, VIDEOS_A_TABLE)):
            with without_gc():
                items, table = checked([item for task in chunk for item in build_video(task, lookups)])
            reasons.update(item.reason for item in items if isinstance(item, Skipped))
            if table is not None:
                yield Key(0, number), table
                number += 1
        if reasons:
            logger.warning(f"cotasks/{self.config.name}: {no_record_line(reasons)}")

    def _refuse_left_out(self, split: Any) -> None:
        """Raise InputError with the reason where a split is asked for by name that was left out."""
        asked = re.findall(r"[A-Za-z_]\w*(?=\[|\+|$)", str(split)) if split is not None else []
        if set(asked) & set(SPLITS) - set(self.info.splits or {}):
            _, left_out = self._usable_splits(self._fetched())
            for name in asked:
                if name in left_out:
                    raise InputError(f"cotasks/{self.config.name}: no split {name}: {left_out[name]}")

    def as_dataset(self, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in `datasets`; a split that was left out is refused with the reason (InputError)."""
        self._refuse_left_out(split)
        return super().as_dataset(split, *args, **kwargs)

    def as_streaming_dataset(self, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in `datasets`; a split that was left out is refused with the reason (InputError)."""
        self._refuse_left_out(split)
        return super().as_streaming_dataset(split, *args, **kwargs)
