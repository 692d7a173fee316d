"""`cotasks info`."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Annotated

import typer

from cotasks.commands.extras import EXTRAS, INCLUDES
from cotasks.commands.output import print_markdown


def info(
    model: Annotated[
        str | None,
        typer.Option(
            help="Model folder, Hub id, `toy` or `tiny`: tell which family covers it, or which it resembles and what "
            "of it is untested.",
            show_default=False,
        ),
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the checkpoint.")
    ] = False,
) -> None:
    """List what there is to choose from, and which packages were found.

    Configs of `build`, model families, conditions, judges, rubrics and studies; and the version of each package that an
    extra brings. With --model, what is known of that model instead. Reads a model's configuration and its processor's
    settings, no weights; writes nothing.
    """
    if model is not None:
        _of_model(model, trust_remote_code)
        return
    from cotasks.pages.markdown import table
    from cotasks.prompts.condition import CONDITION_HELP
    from cotasks.version import VERSION

    parts = [f"cotasks {VERSION}, Python {platform.python_version()}, {platform.platform(terse=True)}"]
    parts += ["## Conditions", CONDITION_HELP]
    for title, header, rows in _sections():
        parts += [f"## {title}", table(header, rows, len(header))]
    print_markdown("\n\n".join(parts))


def _of_model(name: str, trust_remote_code: bool) -> None:
    """Say which family covers a model."""
    from cotasks.commands.extras import require
    from cotasks.models.families import FAMILIES
    from cotasks.models.likeness import UNSEEN, likeness
    from cotasks.models.load import Loading

    require("models")
    found = likeness(name, Loading(trust_remote_code=trust_remote_code))
    row = found.family
    what = f"{name}: model type {found.model_type}" if found.model_type else name
    if row is None:
        print(f"{what}: resembles no family; known: {', '.join(FAMILIES)}")
    elif found.covered:
        print(f"{what}: family {row.name}, covered by its row and the tests")
    elif found.elsewhere:
        print(f"{what} {found.elsewhere}")
    else:
        by = f", by its {', '.join(found.shared)}" if found.shared else ", by its name"
        print(f"{what}: no row covers it; it resembles {row.name}{by}")
    if row is not None:
        print(f"boxes: {row.coordinates}; frames by {row.frame_reference}")
        if row.own_grounding:
            print(f"written by itself: {row.own_grounding}")
    for note in found.notes:
        print(note)
    if not found.covered and not found.elsewhere:
        print("untested: " + "; ".join(UNSEEN))
        print("to add it, put its model type into a row of cotasks/models/rows.py, and a tiny model beside the others")


def _sections() -> Iterator[tuple[str, Sequence[str], Sequence[Sequence[str]]]]:
    """(title, header, rows) of each list."""
    from cotasks.builders.readers.catalog import CATALOG
    from cotasks.judge.llm.rubric import shipped_rubrics
    from cotasks.judge.rules import RULES
    from cotasks.models.families import FAMILIES
    from cotasks.models.load import NOTES
    from cotasks.studies.catalog import STUDIES

    sources = [[row.config, row.description, ", ".join(row.licences)] for row in CATALOG.values()]
    yield "Configs of `cotasks build`", ["config", "questions", "licences"], sources
    families = [[f.name, ", ".join(f.model_types), f.coordinates, f.frame_reference] for f in FAMILIES.values()]
    yield "Model families", ["family", "model types", "boxes", "frames by"], families
    yield "Models that come with the package", ["model", "note"], [list(note) for note in NOTES.items()]
    judges = [*((name, "rule") for name in RULES), ("openai:MODEL", "a model behind an OpenAI-compatible server")]
    yield "Judges", ["judge", "is"], judges
    rubrics = [[f"{rubric.name} {rubric.version}", rubric.scale.name] for rubric in shipped_rubrics().values()]
    yield "Rubrics", ["rubric", "scale"], rubrics
    yield "Studies", ["study", "title"], [[study.name, study.title] for study in STUDIES.values()]
    packages = [["", package, version_of(package)] for package in ("datasets", "huggingface_hub", "numpy", "pyarrow")]
    for extra, modules in EXTRAS.items():
        of = f"{extra} (with {', '.join(INCLUDES[extra])})" if extra in INCLUDES else extra
        packages += [[of, package, version_of(package)] for package in modules.values()]
    yield "Packages", ["extra", "package", "version"], packages


def version_of(package: str) -> str:
    """The version of a package, or `not installed`."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
