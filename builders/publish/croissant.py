"""`croissant.json` beside each build: what it is, in the form that indexes of data sets read.

Croissant 1.0 with the fields of its vocabulary for responsible AI (RAI 1.0), written as plain JSON from `build.json`:
no date and no path of a machine, so the same build gives the same bytes. Columns of numbers and texts are fields; those
that hold structs (clip, grid, steps, scene) are described by the card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Value

from cotasks.builders.publish.facts import facts
from cotasks.builders.readers.catalog import source_of
from cotasks.records.schema import FEATURES

FILE = "croissant.json"
TEMPLATE = Path(__file__).with_name("dataset_card.md")
PROJECT = "https://github.com/cotasks/cotasks"
PAPER = "https://arxiv.org/abs/2507.13609"
LICENCES = {
    "mit": "https://spdx.org/licenses/MIT",
    "apache-2.0": "https://spdx.org/licenses/Apache-2.0",
    "cc-by-sa-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "cc-by-nc-sa-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
}
"""Name of a licence on the Hub -> its page; another name stands for itself."""

_TYPES = {"string": "sc:Text", "int32": "sc:Integer", "float64": "sc:Float", "bool": "sc:Boolean"}
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the specification gives it."""


def croissant(build: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `croissant.json`.

    Args:
        build: the content of `build.json`, with the sizes and hashes of the parquet files beside it.
    """
    config = build["config"]
    source = source_of(config)
    told = build["options"].get("license")
    licences = source.licences if told is None else (told,)
    files = {name: row for name, row in build["files"].items() if name.endswith(".parquet")}
    pages = list(dict.fromkeys(re.sub(r" \(.*\)$", "", page) for page in source.pages.values()))
    name = build["options"].get("source") or source.title
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"cotasks-{config}",
        "description": f"Questions about videos ({name}), each with the answers of four reasoning steps built from "
        "object-level annotation: which frames and entities matter, where these are, and which relations hold within a "
        "frame and over time (CoTasks).",
        "license": [LICENCES.get(licence, licence) for licence in licences],
        "url": PROJECT,
        "sameAs": PAPER,
        "citeAs": f"CoTasks: Chain-of-Thought based Video Instruction Tuning Tasks, {PAPER}",
        "version": str(build["versions"].get("cotasks", "unknown")),
        "keywords": ["video question answering", "chain of thought", "scene graph", "object tracking"],
        "inLanguage": "en",
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file,
                "name": file,
                "contentUrl": file,
                "contentSize": f"{row['bytes']} B",
                "encodingFormat": "application/x-parquet",
                "sha256": row["sha256"],
            }
            for file, row in files.items()
        ],
        "recordSet": [_record_set(file) for file in files],
        **_responsible(build, name, pages),
    }


def _record_set(file: str) -> dict[str, Any]:
    name = file.removesuffix(".parquet")
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": "One question a record. Columns of structs (clip, grid, steps) are described in README.md.",
        "key": {"@id": f"{name}/id"},
        "field": list(_fields(name, file)),
    }


def _fields(record_set: str, file: str) -> Iterator[dict[str, Any]]:
    meanings = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE)[::-1])
    for name, feature in FEATURES.items():
        inner = getattr(feature, "feature", feature)
        if not isinstance(inner, Value):
            continue
        yield {
            "@type": "cr:Field",
            "@id": f"{record_set}/{name}",
            "name": name,
            "description": meanings[name],
            "dataType": _TYPES[inner.dtype],
            **({"repeated": True} if inner is not feature else {}),
            "source": {"fileObject": {"@id": file}, "extract": {"column": name}},
        }


def _responsible(build: Mapping[str, Any], name: str, pages: list[str]) -> dict[str, Any]:
    """The fields for responsible AI: what is known of the sources, and what the data itself shows."""
    where = f"; published at {', '.join(pages)}" if pages else ""
    return {
        "rai:dataCollection": f"Questions, answers and annotation of {name}{where}. Records name videos and hold none.",
        "rai:dataCollectionType": ["Secondary Data Analysis", "Manual Human Curator"],
        "rai:dataCollectionRawData": [f"{file} ({digest})" for file, digest in build["sources"].items()],
        "rai:dataPreprocessingProtocol": [
            "Boxes and relations are taken over at the frames that they were annotated on; none is moved.",
            "Step 1 by origin; steps 2 to 4 are the annotation restricted to step 1.",
        ],
        "rai:dataAnnotationProtocol": "Origins of step 1 are human (people marked the time), annotation (the source's "
        "own), model (a model proposed it), lexical (question words matched annotated categories) and whole (nothing "
        "was chosen).",
        "rai:machineAnnotationTools": [
            "Boxes with `generated` were written by a tracker between frames that people annotated."
        ],
        "rai:dataBiases": facts(build, "biases"),
        "rai:dataLimitations": facts(build, "limits"),
        "rai:dataUseCases": [
            "Measuring whether reasoning steps help video question answering; training models to take such steps. Not "
            "for claims about people in the videos."
        ],
        "rai:personalSensitiveInformation": [
            "Questions describe people in videos by looks, age group and sex as the source's annotators saw them."
        ],
        "rai:dataReleaseMaintenancePlan": f"Rebuilt from its sources by `cotasks build`; issues at {PROJECT}.",
    }
