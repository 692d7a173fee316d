"""The catalog: one row a config that can be built, with all that the build, the download, the card and
`load_dataset("cotasks")` know of it. How its files read is in its reader.

nextqa/{oe,mc}/{train,val,test}.csv   nextqa/map_vid_vidorID.json   nextqa/add_reference_answer_test.json
nextgqa/gsub_{val,test}.json
vidor/                                VidOR annotation: folders or zips, in any layout `vidor.py` knows
star/STAR_{train,val,test}.json       star/STAR_classes/*.txt       star/STAR_classes/video_fps
castbench/castbench_hf.jsonl
star/video_sizes.json                 frame count, width and height of the videos: ours, where they are not at hand
perception_test/{train,valid,test}_annotations.zip   perception_test/cut_frame_mapping_{train,valid}.json
pvsg/pvsg.json    pvsg/{VidOR/vidor,EpicKitchen/epic_kitchen,Ego4D/ego4d}_masks.zip, or folders, see `pvsg.py`
vstar/V_STaR_test.json
questions.jsonl   annotation.jsonl, annotation/*.jsonl   own.json           own data, see `cotasks.records.own`
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from cotasks.builders.readers import castbench, nextqa, own, perception_test, pvsg, star, vstar
from cotasks.builders.readers.source import Source, SourceFile
from cotasks.errors import InputError
from cotasks.records.own_files import ABOUT, ANNOTATION, QUESTIONS, read_about
from cotasks.sample import DATA_DIR
from cotasks.words.types import CASTBENCH, NEXTQA, STAR


def _git(
    repository: str, commit: str, folder: str, into: str, *files: tuple[str, str, int | None]
) -> tuple[SourceFile, ...]:
    """Files of a repository at a commit, so that they are the same for everyone whatever becomes of its branches."""
    base = f"https://raw.githubusercontent.com/{repository}/{commit}/{folder}/"
    return tuple(SourceFile(into + name, base + name, blob, size) for name, blob, size in files)


_OE = ("doc-doc/NExT-OE", "a83f8f581191da07675e0fc83074e0dfcf907273", "dataset/nextqa")
_MC = ("doc-doc/NExT-QA", "6b92588ab4496268fa1caab9414a8b998ee063c5", "dataset/nextqa")
_GQA = ("doc-doc/NExT-GQA", "63772e0256ad9e34b83d6a108f1ba2041b924607", "datasets/nextgqa")
_STAR_CLASSES = ("csbobby/STAR_Benchmark", "8c3971891609e9c8e0665ffa0de1b28a0bfc166d", "annotations/STAR_classes")
_CASTBENCH_SAMPLE = (
    "mf-zhang/CaST-Bench-Evaluation",
    "a2164916e7bd09c29421b10af6f6c5d5f44decb8",
    "metrics/example",
)
_SHORT = ("train", "val", "test")
_STAR_BUCKET = "https://star-benchmark.s3.us-east.cloud-object-storage.appdomain.cloud/Question_Answer_SituationGraph"

HUB = "https://huggingface.co"

_NEXTQA_PAGES = {
    "nextqa/oe": "https://github.com/doc-doc/NExT-OE (dataset/nextqa)",
    "nextqa/mc": "https://github.com/doc-doc/NExT-QA (dataset/nextqa)",
    "nextqa/map_vid_vidorID.json": "https://github.com/doc-doc/NExT-QA (dataset/nextqa)",
    "nextqa/add_reference_answer_test.json": "https://github.com/doc-doc/NExT-OE (dataset/nextqa)",
    "nextgqa": "https://github.com/doc-doc/NExT-GQA (datasets/nextgqa)",
    "vidor": "https://huggingface.co/datasets/shangxd/vidor (training-annotation.zip, validation-annotation.zip)",
}
_NEXTQA_FILES = (
    *_git(*_OE, "nextqa/", ("add_reference_answer_test.json", "e2a36df90f3e2a0d47d3ac44220f2fa68698edb9", 166056)),
    *_git(*_MC, "nextqa/", ("map_vid_vidorID.json", "c7da63e91b6aabf3d009d2356fb68aba01ef37f4", 331540)),
    *_git(
        *_GQA,
        "nextgqa/",
        ("gsub_val.json", "dc7d05b0afdeb081863924c9b1f08a96754862f8", 115228),
        ("gsub_test.json", "a80bfff18c68b1b6a701ffa9549e27c447cb3857", 195500),
    ),
    *(
        SourceFile(f"vidor/{part}-annotation.zip", f"{HUB}/datasets/shangxd/vidor/resolve/main/{part}-annotation.zip")
        for part in ("training", "validation")
    ),
)
"""What both tasks of NExT-QA need beside their questions."""

_NEXTQA_OE = Source(
    config="nextqa_oe",
    description="NExT-QA, open-ended, with VidOR annotation.",
    title="NExT-QA",
    types=NEXTQA,
    licences=("mit", "cc-by-sa-4.0"),  # NExT-QA and NExT-GQA; VidOR, as its page on the Hub states
    parts=(partial(nextqa.plan, tasks=("oe",)),),
    questions=("nextqa/oe/{split}.csv",),
    reads=(
        "nextqa/map_vid_vidorID.json",
        "nextqa/add_reference_answer_test.json",
        "nextgqa/gsub_val.json",
        "nextgqa/gsub_test.json",
    ),
    trees="vidor",
    files=(
        *_git(
            *_OE,
            "nextqa/oe/",
            ("train.csv", "bb521c24de40e4c4d8a28b4c8944786bd56b2653", 3729576),
            ("val.csv", "8dcead4ff3b60d9338c073031a8518b3ab62257c", 528915),
            ("test.csv", "4bec69be654a3f6f3a51f29c6dffaaaf982600f9", 899595),
        ),
        *_NEXTQA_FILES,
    ),
    pages=_NEXTQA_PAGES,
    takes=frozenset({"data_dir", "vidor"}),
    has_human_spans=True,
)

_NEXTQA_MC = replace(
    _NEXTQA_OE,
    config="nextqa_mc",
    description="NExT-QA, multiple choice, with VidOR annotation.",
    parts=(partial(nextqa.plan, tasks=("mc",)),),
    questions=("nextqa/mc/{split}.csv",),
    files=(
        *_git(
            *_MC,
            "nextqa/mc/",
            ("train.csv", "d21e93e78572a03b09528a05a2dfb3a1871afe27", None),
            ("val.csv", "24cf7775dd63993915378a6450b6c738e0eebb38", 814107),
            ("test.csv", "d76a1dbd08b6127269702ebaee21a13aa1405f87", 1385657),
        ),
        *_NEXTQA_FILES,
    ),
)

_STAR = Source(
    config="star",
    description="STAR, with its situation graphs.",
    title="STAR",
    types=STAR,
    licences=("apache-2.0",),
    parts=(star.plan,),
    questions=("star/STAR_{split}.json",),
    reads=("star/STAR_classes/*.txt", "star/STAR_classes/video_fps", "star/video_sizes.json"),
    files=(
        *_git(
            *_STAR_CLASSES,
            "star/STAR_classes/",
            ("action_classes.txt", "63609edbde76b92c4bee61c2d8bb90a25de25db8", 2876),
            ("action_mapping.txt", "c8d43060de1630b25bad8c4ed318cc3e01677130", 1664),
            ("object_classes.txt", "dab82ee59d7cf1b7f9083874b4d15991658c2053", 475),
            ("relationship_classes.txt", "934310cd1d9194ecf8ad9039b1da28369f3e8a08", 340),
            ("verb_classes.txt", "7198254bdfcc77abdfaa30b499245c1b0f076e0c", 171),
            ("video_fps", "353508b3741f4327d51606d55ea6b439be2bfdc5", 275005),
        ),
        *(SourceFile(f"star/STAR_{split}.json", f"{_STAR_BUCKET}/STAR_{split}.json") for split in _SHORT),
    ),
    pages={
        "star": f"{_STAR_BUCKET}/",
        "star/STAR_classes": "https://github.com/csbobby/STAR_Benchmark (annotations/STAR_classes)",
    },
    takes=frozenset({"data_dir", "videos"}),
)

_CASTBENCH = Source(
    config="castbench",
    description="CaST-Bench, with the evidence that people marked.",
    title="CaST-Bench",
    types=CASTBENCH,
    licences=("mit",),  # of the published sample of 80 questions
    parts=(castbench.plan,),
    questions=(castbench.FILE,),
    files=_git(
        *_CASTBENCH_SAMPLE,
        "castbench/",
        ("castbench_hf.jsonl", "13d1c6285c1ec62faf23cf36eabb653fffb3c8fe", 138301),
    ),
    pages={
        "castbench": f"{HUB}/datasets/wovenbytoyota-vai/CaST-Bench (all questions; a sample is in "
        "https://github.com/mf-zhang/CaST-Bench-Evaluation, metrics/example)"
    },
    takes=frozenset({"data_dir", "videos"}),
)

_PERCEPTION_BUCKET = "https://storage.googleapis.com/dm-perception-test"

_PERCEPTION_TEST = Source(
    config="perception_test",
    description="Perception Test, multiple choice and grounded, with object tracks and actions.",
    title="Perception Test",
    types=None,
    licences=("cc-by-4.0",),
    parts=(perception_test.plan,),
    questions=("perception_test/{split}_annotations.zip",),
    split_names=perception_test.SPLITS,
    reads=("perception_test/cut_frame_mapping_*.json",),
    files=(
        *(
            SourceFile(
                f"perception_test/{split}_annotations.zip", f"{_PERCEPTION_BUCKET}/zip_data/{split}_annotations.zip"
            )
            for split in perception_test.SPLITS.values()
        ),
        *(
            SourceFile(
                f"perception_test/cut_frame_mapping_{split}.json",
                f"{_PERCEPTION_BUCKET}/misc/cut_frame_mapping_{split}.json",
            )
            for split in ("train", "valid")
        ),
    ),
    pages={"perception_test": "https://github.com/google-deepmind/perception_test (Download the data and annotations)"},
)

_PVSG_HUB = f"{HUB}/datasets/Jingkang/PVSG/resolve/7e5f1ec9fd8f323182e84d990819854bb72da478"

_PVSG = Source(
    config="pvsg",
    description="PVSG's questions, with boxes from its masks, and its relations.",
    title="PVSG",
    types=None,
    licences=("other",),  # S-Lab License 1.0, not for commercial use
    parts=(pvsg.plan,),
    questions=("pvsg/pvsg.json",),
    trees="pvsg",
    files=tuple(
        SourceFile(f"pvsg/{name}", f"{_PVSG_HUB}/{name}")
        for name in (
            *("pvsg.json", "VidOR/vidor_masks.zip"),
            *("EpicKitchen/epic_kitchen_masks.zip", "Ego4D/ego4d_masks.zip"),
        )
    ),
    pages={"pvsg": "https://huggingface.co/datasets/Jingkang/PVSG"},
)

_VSTAR = Source(
    config="vstar",
    description="V-STaR, with the moments and boxes that its answers rest on.",
    title="V-STaR",
    types=None,
    licences=("cc-by-nc-sa-4.0",),
    parts=(vstar.plan,),
    questions=("vstar/V_STaR_test.json",),
    files=_git(
        *("V-STaR-Bench/V-STaR", "1894682b15be0a0c0c5ab24be6e8252743cd6c2f", "data", "vstar/"),
        ("V_STaR_test.json", "e3a4abbaff98368806872582dcf5af21b7ec31af", None),
    ),
    pages={"vstar": "https://github.com/V-STaR-Bench/V-STaR (data)"},
)

_SAMPLE = Source(
    config="sample",
    description="Synthetic clips that come with the package.",
    title="the sample",
    types=None,  # those of NExT-QA and STAR
    licences=("apache-2.0",),
    parts=(partial(nextqa.plan, tasks=("oe", "mc")), star.plan),
    questions=("nextqa/oe/{split}.csv", "nextqa/mc/{split}.csv", "star/STAR_{split}.json"),
    reads=(*_NEXTQA_OE.reads, *_STAR.reads),
    trees="vidor",
    takes=frozenset(),
    folder=Path(DATA_DIR),
    has_human_spans=True,
    renamed="sample",
)

_OWN = Source(
    config="own",
    description="Your own questions and annotation.",
    title="own data",
    types=None,
    licences=("unknown",),  # unless it is named
    parts=(own.plan,),
    questions=(QUESTIONS,),
    reads=(ANNOTATION, f"{ANNOTATION}.gz", "annotation/*.jsonl", "annotation/*.jsonl.gz", ABOUT),
    takes=frozenset({"data_dir", "videos", "source", "license"}),
    has_human_spans=True,
    about=read_about,
)

_ROWS = (_SAMPLE, _NEXTQA_OE, _NEXTQA_MC, _STAR, _CASTBENCH, _PERCEPTION_TEST, _PVSG, _VSTAR, _OWN)
CATALOG: dict[str, Source] = {row.config: row for row in _ROWS}
"""Config -> its row; the first one that a published folder holds is its default."""


def source_of(config: str) -> Source:
    """The row of a config. Raises InputError where there is none."""
    if config not in CATALOG:
        raise InputError(f"unknown config {config!r}; known: {', '.join(CATALOG)}")
    return CATALOG[config]
