from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES, limits_of
from cotasks.models.tensors import Clip, collate_for_generation, run_processor, thinking_off
from cotasks.records.dataset import load_records
from cotasks.records.schema import Record
from cotasks.training.collator import TrainingCollator
from cotasks.training.events import Event, ReportFile
from cotasks.training.examples import TASKS, examples_of, instructions, shorten_messages
from cotasks.training.turns import IGNORED, ChatFormat, _within, chat_format, render_chat
from cotasks.video import cache as frame_cache
from cotasks.video import reading as video
from cotasks.video.cache import FrameCache
from tests.processes import FORKSERVER
from tests.synthetic import make_record, write_video
from tests.tiny_models import available, clip, pixels_name, prompt, seen_token, tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

each_family = pytest.mark.parametrize("family", sorted(FAMILIES))
LEADS = {"llava_next_video": " ", "glm4v": "\n"}
"""What the model writes between generation's prompt and its answer, where that is not nothing."""
ENDS = {
    "llava_next_video": "<|endoftext|>",
    "glm4v": "<|endoftext|>",
    "gemma4": "<turn|>",
    "perception_lm": "<|eot_id|>",
}
"""The tokens that end a turn; where the template has none, it is the tokenizer's."""

THINKING_OFF = {"enable_thinking": False}
NO_THOUGHT = "<|im_start|>assistant\n<think>\n\n</think>\n\n"

Row = dict[str, Any]


@dataclass(frozen=True)
class Events:
    """A report that keeps its events."""

    seen: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.seen.append(event)


def collator(family: str, **options: Any) -> TrainingCollator:
    return TrainingCollator(tiny(family)[1], FAMILIES[family], **options)


def spoken(family: str, messages: Sequence[Row]) -> str:
    """What the assistant writes, ends of turns included."""
    lead, end = LEADS.get(family, ""), ENDS.get(family, "<|im_end|>")
    return "".join(lead + m["content"][-1]["text"] + end for m in messages if m["role"] == "assistant")


def learned(family: str, batch: dict[str, Any], number: int = 0) -> str:
    """The labels of a row as text."""
    labels = batch["labels"][number]
    return str(tiny(family)[1].tokenizer.decode(labels[labels != IGNORED]))


def examples(family: str, records: Sequence[Record], tasks: Sequence[str] = TASKS, frames: int = 4) -> list[Row]:
    """Examples with synthetic frames."""
    limits = limits_of(tiny(family)[1], FAMILIES[family])
    rows = []
    for record in records:
        columns = instructions(record, tasks, family=family, limits=limits, num_frames=min(frames, len(record.frames)))
        for row in examples_of(columns):
            pixels = np.full((len(row["frames"]), row["height"], row["width"], 3), 90, np.uint8)
            indices = [frame - row["clip_begin"] for frame in row["frames"]]
            shown = Clip(pixels, indices, row["fps"], row["clip_frames"]) if row["frames"] else None
            rows.append({**row, "clip": shown})
    return rows


@pytest.fixture(scope="module")
def sample() -> list[Record]:
    return list(load_records("sample", "validation"))


@pytest.fixture(scope="module")
def real(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """NExT-QA records of many videos, both of tasks' question forms."""
    from cotasks.builders.publish.folder import build_folder
    from cotasks.builders.sources import BuildOptions

    records = []
    for config in ("nextqa_oe", "nextqa_mc"):
        out = tmp_path_factory.mktemp("real") / config
        build_folder(BuildOptions(config, data_dir=str(realdata)), out, ["validation"])
        records += list(load_records(str(out), "validation"))
    return records


# Label masks ----------------------------------------------------------------------------------------------------------


def check_labels(family: str, rows: Sequence[Row], together: int = 4) -> None:
    """Decoded labels are exactly the assistant's turns, with and without truncation."""
    frames_alike = FAMILIES[family].limits.fixed is None or len({len(row["frames"]) for row in rows}) == 1
    together = together if frames_alike else 1
    cut_rows = 0
    for start in range(0, len(rows), together):
        some = rows[start : start + together]
        batch = collator(family)(some)
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        for number, row in enumerate(some):
            assert learned(family, batch, number) == spoken(family, row["messages"])
        events = Events()
        budget = max(lengths) * 3 // 4
        short = attempt(collator(family, max_tokens=budget, report=events), some)
        if isinstance(short, InputError):
            assert short.reason == "empty batch"
            continue
        left = [row for row in some if (row["id"], row["task"]) not in {(e["id"], e["task"]) for e in skipped(events)}]
        assert short["input_ids"].shape[1] <= budget
        for number, row in enumerate(left):
            (cut,) = [e["left_out"] for e in events.seen if named(e, row) and e["event"] == "shortened"] or [0]
            messages = shorten_messages(row["messages"], row["cuts"], cut)
            assert learned(family, short, number) == spoken(family, messages)
            cut_rows += cut > 0
        videos = [row["clip"] for row in left]
        for name in (pixels_name(family), "video_grid_thw"):
            if name in short:  # the frames of the rows that are left, and of no other
                again = collator(family)(left) if len(left) < len(some) else batch
                assert torch.equal(short[name], again[name])
        video = seen_token(family)
        assert all((short["input_ids"][i] == video).any() == (v is not None) for i, v in enumerate(videos))
    assert cut_rows


def attempt(collate: TrainingCollator, rows: Sequence[Row]) -> Any:
    """The batch, or the error."""
    try:
        return collate(rows)
    except InputError as error:
        return error


def skipped(events: Events) -> list[Event]:
    return [event for event in events.seen if event["event"] == "skipped"]


def named(event: Event, row: Row) -> bool:
    return (event["id"], event["task"]) == (row["id"], row["task"])


@each_family
def test_labels_are_the_assistants_turns_on_the_sample(family: str, sample: list[Record]) -> None:
    tasks = (*TASKS, "cotasks-34", "blind-cotasks")
    check_labels(family, examples(family, sample[::6], tasks))


@each_family
def test_labels_are_the_assistants_turns_on_real_records(family: str, real: list[Record]) -> None:
    check_labels(family, examples(family, real[::97], ("frame_localization", "chain", "baseline", "cotasks")))


@each_family
def test_what_comes_before_an_answer_is_what_generation_puts_there(family: str, sample: list[Record]) -> None:
    """To the token, for every family: up to the first label, a row is the prompt of `generate`."""
    for row in examples(family, sample[:12:4], ("baseline", "cotasks", "spatial_relations")):
        batch = collator(family)([row])
        generation = collate_for_generation(
            tiny(family)[1], FAMILIES[family], [prompt_of(row["messages"][:-1])], [row["clip"]]
        )
        first = (batch["labels"][0] != IGNORED).nonzero()[0, 0]
        assert batch["input_ids"][0, :first].tolist() == generation["input_ids"][0].tolist()
        assert torch.equal(batch[pixels_name(family)], generation[pixels_name(family)])


def prompt_of(messages: Sequence[Row]) -> Any:
    plain = prompt("")
    for message in messages:
        content = [{k: v for k, v in part.items() if v is not None} for part in message["content"]]
        plain.messages.append({**message, "content": content})
    del plain.messages[0]
    return plain


@each_family
def test_tokens_are_those_of_the_processor(family: str, sample: list[Record]) -> None:
    processor = tiny(family)[1]
    rows = examples(family, sample[:3], ("chain",))
    batch = collator(family)(rows)
    form = chat_format(processor, thinking_off(FAMILIES[family]))
    texts = [render_chat(processor, form, prompt_of(row["messages"]).messages)[0] for row in rows]
    bare = run_processor(processor, FAMILIES[family], texts, [row["clip"] for row in rows], "right")
    assert set(batch) == {*bare, "labels"}
    for name, value in bare.items():
        assert torch.equal(batch[name], value), name
    # and those labelled are the tokens themselves
    labelled = batch["labels"] != IGNORED
    assert torch.equal(batch["labels"][labelled], batch["input_ids"][labelled])


@each_family
def test_loss_of_a_batch_is_that_of_its_rows(family: str, sample: list[Record]) -> None:
    """Padding on the right changes nothing; tolerance 1e-4 of a loss of about 8, float32."""
    rows = examples(family, sample[:40:10], ("cotasks", "chain"))
    model = tiny(family)[0]
    with torch.no_grad():
        alone = [
            (model(**b).loss.item(), int((b["labels"] != IGNORED).sum())) for b in map(collator(family), zip(rows))
        ]
        together = model(**collator(family, pad_to_multiple_of=64)(rows)).loss.item()
    assert together == pytest.approx(sum(loss * n for loss, n in alone) / sum(n for _, n in alone), abs=1e-4)
    assert len({loss for loss, _ in alone}) == len(rows)


@pytest.mark.parametrize("multiple", [1, 8, 64])
def test_padding(multiple: int, sample: list[Record]) -> None:
    rows = examples("qwen2_5_vl", sample[:2], ("baseline", "chain"))
    batch = collator("qwen2_5_vl", pad_to_multiple_of=multiple)(rows)
    lengths = batch["attention_mask"].sum(dim=1)
    assert batch["input_ids"].shape[1] == -(-int(lengths.max()) // multiple) * multiple
    padding = batch["attention_mask"] == 0
    assert (batch["labels"][padding] == IGNORED).all()
    assert (batch["input_ids"][padding] == tiny("qwen2_5_vl")[1].tokenizer.pad_token_id).all()
    assert (batch["mm_token_type_ids"][padding] == 0).all()
    assert (batch["attention_mask"].diff(dim=1) <= 0).all()  # on the right


# Chat templates -------------------------------------------------------------------------------------------------------


def with_template(family: str, template: str) -> Any:
    processor = pickle.loads(pickle.dumps(tiny(family)[1]))
    processor.chat_template = template
    return processor


def test_formats_of_the_families() -> None:
    formats = {name: chat_format(tiny(name)[1], thinking_off(FAMILIES[name])) for name in available()}
    chatml = ChatFormat("<|im_start|>assistant\n", "<|im_start|>assistant\n", "", "<|im_end|>", "<|im_end|>\n")
    expected = {
        "qwen2_5_vl": chatml,
        "qwen2_vl": chatml,
        "qwen3_vl": replace(chatml, options=THINKING_OFF),
        "qwen3_5": ChatFormat(
            NO_THOUGHT, NO_THOUGHT, "", "<|im_end|>", "<|im_end|>\n", "<think>\n\n</think>\n\n", THINKING_OFF
        ),
        "molmo2": chatml,
        "gemma4": ChatFormat("<|turn>model\n", "<|turn>model\n", "", "<turn|>", "<turn|>\n", options=THINKING_OFF),
        # the model itself is to write the line break behind the empty thought
        "glm4v": ChatFormat(
            "<|assistant|>\n<think></think>",
            "<|assistant|>\n<think></think>\n",
            "\n",
            "<|endoftext|>",
            "",
            options=THINKING_OFF,
        ),
        # the template writes a blank that generation does not
        "llava_onevision": replace(chatml, head="<|im_start|>assistant \n", tail="<|im_end|>"),
        # and here no end, but a blank
        "llava_next_video": ChatFormat("ASSISTANT:", "ASSISTANT: ", " ", "<|endoftext|>", " "),
        "internvl": chatml,
        "video_llama_3": chatml,
        "minicpm_v": ChatFormat(NO_THOUGHT, NO_THOUGHT, "", "<|im_end|>", "<|im_end|>\n", options=THINKING_OFF),
        "perception_lm": ChatFormat(
            *["<|start_header_id|>assistant<|end_header_id|>\n\n"] * 2, "", *["<|eot_id|>"] * 2
        ),
        "kimi_k25": ChatFormat(
            *["<|im_assistant|>assistant<|im_middle|><think></think>"] * 2,
            "",
            *["<|im_end|>"] * 2,
            options={"thinking": False},
        ),
    }
    assert expected.keys() == FAMILIES.keys()
    assert formats == {name: form for name, form in expected.items() if name in formats}


@pytest.mark.parametrize(
    ("family", "file"),
    [
        ("qwen2_5_vl", "qwen2_5_vl"),
        ("qwen2_vl", "qwen2_5_vl"),
        ("qwen3_vl", "qwen3_vl"),
        ("qwen3_5", "qwen3_5_think"),
        ("qwen3_5", "qwen3_5_nothink"),
        ("gemma4", "gemma4"),
        ("gemma4", "gemma4_v5"),
    ],
)
def test_published_templates(family: str, file: str, sample: list[Record]) -> None:
    trl = pytest.importorskip("trl")
    path = Path(trl.__file__).parent / "chat_templates" / f"{file}.jinja"
    if not path.exists():
        pytest.skip("this version of TRL brings no such template")
    template = path.read_text()
    processor = with_template(family, template)
    for row in examples(family, sample[:9:4], ("chain", "cotasks")):
        batch = TrainingCollator(processor, FAMILIES[family])([row])
        assert learned(family, batch) == spoken(family, row["messages"])


def test_blanks_of_a_sentencepiece_tokenizer(sample: list[Record]) -> None:
    """LLaVA-NeXT-Video's tokenizer writes a blank before each word and knows no pre-tokenization: exact there too."""
    processor = with_tokenizer(sentencepiece_like(whole_words=True))
    rows = examples("llava_next_video", sample[:9:4], ("chain", "cotasks", "baseline"))
    for row in rows:
        batch = TrainingCollator(processor, FAMILIES["llava_next_video"])([row])
        labels = batch["labels"][0]
        assert batch["input_ids"][0, 0] == processor.tokenizer.bos_token_id
        ids = labels[labels != IGNORED].tolist()
        assert ids.count(processor.tokenizer.eos_token_id) == len(row["messages"]) // 2
        turns = processor.tokenizer.decode(ids).split("</s>")[:-1]
        assert [t.strip() for t in turns] == [m["content"][-1]["text"] for m in row["messages"][1::2]]
        generation = collate_for_generation(
            processor, FAMILIES["llava_next_video"], [prompt_of(row["messages"][:1])], [row["clip"]]
        )
        first = (labels != IGNORED).nonzero()[0, 0]
        assert batch["input_ids"][0, :first].tolist() == generation["input_ids"][0].tolist()


def test_token_over_the_end_of_an_answer(sample: list[Record]) -> None:
    """A tokenizer that has tokens such as `: ` reads prompt and answer together as it never could in generation."""
    collate = TrainingCollator(with_tokenizer(sentencepiece_like(whole_words=False)), FAMILIES["llava_next_video"])
    with pytest.raises(InputError, match="a token reaches over an end of the assistant's turn"):
        collate(examples("llava_next_video", sample[:1], ("chain",)))


def test_tokens_of_an_answer_whose_blanks_have_no_characters() -> None:
    """As tokenizers with `trim_offsets` say it: "So  it" in tokens So, blank, it; then a blank outside, and the end."""
    offsets = np.array([[0, 0], [0, 4], [4, 6], [6, 6], [8, 10], [10, 12], [12, 12], [13, 15]])
    assert _within(offsets, [(4, 12)]).tolist() == [False, False, True, True, True, True, False, False]
    with pytest.raises(InputError, match="characters 5 to 12: a token reaches over"):
        _within(offsets, [(5, 12)])


def with_tokenizer(tokenizer: Any) -> Any:
    from transformers import LlavaNextVideoProcessor

    other = tiny("llava_next_video")[1]
    return LlavaNextVideoProcessor(
        image_processor=other.image_processor,
        video_processor=other.video_processor,
        tokenizer=tokenizer,
        patch_size=other.patch_size,
        vision_feature_select_strategy=other.vision_feature_select_strategy,
        num_additional_image_tokens=other.num_additional_image_tokens,
        chat_template=other.chat_template,
    )


def sentencepiece_like(whole_words: bool) -> Any:
    """A BPE tokenizer with Llama's normalizer, decoder and special tokens; its tokens lie within words or do not."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from cotasks.models.tiny.parts import CORPUS

    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    if whole_words:
        made.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=[*map(chr, range(33, 127)), "\n"],
        show_progress=False,
    )
    made.train_from_iterator(CORPUS.splitlines(), trainer)
    made.pre_tokenizer = None  # type: ignore[assignment]
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<video>"]})
    return tokenizer


CHATML = tiny("qwen2_5_vl")[1].chat_template if torch else ""


@pytest.mark.parametrize(
    ("template", "words"),
    [
        # thinking models: generation opens with words that the template does not write
        (CHATML + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}", "generation with"),
        # no end of a turn, and none of the tokenizer's tokens in its place
        (
            "{% for m in messages %}{{ m.role + ': ' + m.content[0].text + ' # ' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
            "it ends with ' # ', which is no special token",
        ),
        # counts the turns, so a turn changes with what follows
        ("{{ messages | length }}" + CHATML, "a turn is written otherwise where another one follows"),
        # an answer that is written twice, or not as it is
        (CHATML.replace("{{ part.text }}", "{{ part.text + part.text }}"), "does not stand there once, as it is"),
        (CHATML.replace("{{ part.text }}", "{{ part.text | length }}"), "does not stand there once, as it is"),
    ],
)
def test_templates_whose_turns_cannot_be_told(template: str, words: str, sample: list[Record]) -> None:
    rows = examples("qwen2_5_vl", sample[:1], ("baseline",))
    with pytest.raises(InputError, match=words) as caught:
        TrainingCollator(with_template("qwen2_5_vl", template), FAMILIES["qwen2_5_vl"])(rows)
    assert str(caught.value).startswith("chat template of Qwen2_5_VLProcessor: the assistant's turn cannot be told")
    assert "\n" not in str(caught.value)


def test_template_that_drops_earlier_answers(sample: list[Record]) -> None:
    """As thinking models drop their thoughts: one turn can be told, a chain cannot."""
    template = CHATML.replace("{{ part.text }}", "{{ part.text if loop0.last or message.role == 'user' else '' }}")
    template = template.replace("for message in messages %}", "for message in messages %}{% set loop0 = loop %}")
    events = Events()
    collate = TrainingCollator(with_template("qwen2_5_vl", template), FAMILIES["qwen2_5_vl"], report=events)
    rows = examples("qwen2_5_vl", sample[:1], ("baseline", "chain"))
    batch = collate(rows)
    assert learned("qwen2_5_vl", batch) == spoken("qwen2_5_vl", rows[0]["messages"])
    assert [(e["task"], e["reason"]) for e in events.seen] == [("chain", "chat template")]


def test_processor_without_chat_template(sample: list[Record]) -> None:
    with pytest.raises(InputError, match="Qwen2_5_VLProcessor has no chat template"):
        TrainingCollator(with_template("qwen2_5_vl", ""), FAMILIES["qwen2_5_vl"])([{}])


# Rows -----------------------------------------------------------------------------------------------------------------


def count_tokens(text: str) -> int:
    return len(tiny("qwen2_5_vl")[1].tokenizer(text, add_special_tokens=False)["input_ids"])


def write_videos(folder: Path, *names: str) -> None:
    for name in names:
        write_video(folder / f"{name}.mp4")


def test_records_are_read_from_their_videos(tmp_path: Path) -> None:
    write_videos(tmp_path, "a", "b")
    records = [make_record(name, 0) for name in "ab"]
    limits = limits_of(tiny("qwen2_5_vl")[1], FAMILIES["qwen2_5_vl"])
    options: dict[str, Any] = {"limits": limits, "num_frames": 4, "count_tokens": count_tokens}
    for task in ("chain", "cotasks-12:tokens=60"):
        rows = [row for record in records for row in examples_of(instructions(record, (task,), **options))]
        expected = collator("qwen2_5_vl", videos=tmp_path)(rows)
        collate = collator("qwen2_5_vl", videos=tmp_path, task=task, num_frames=4)
        for given in (records, [record.to_row() for record in records]):
            batch = collate(given)
            assert all(torch.equal(batch[name], value) for name, value in expected.items())
        assert batch["video_grid_thw"][:, 0].tolist() == [2, 2]


def test_messages_with_frames() -> None:
    frames = clip("qwen2_5_vl")
    shown = [{"type": "video"}, {"type": "text", "text": "How?"}]
    rows = [
        {"messages": [{"role": "user", "content": shown}, {"role": "assistant", "content": "So."}], "clip": frames},
        {"messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}], "clip": None},
    ]
    batch = collator("qwen2_5_vl")(rows)
    assert [learned("qwen2_5_vl", batch, i) for i in (0, 1)] == ["So.<|im_end|>"] * 2
    assert len(batch["video_grid_thw"]) == 1


def test_system_turn_and_a_question_at_the_end() -> None:
    system = {"role": "system", "content": "Be brief."}
    turns = [
        {"role": "user", "content": "How?"},
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "Why?"},
    ]
    batch = collator("qwen2_5_vl")([{"messages": [system, *turns], "clip": None}])
    assert learned("qwen2_5_vl", batch) == "So.<|im_end|>"
    text = tiny("qwen2_5_vl")[1].tokenizer.decode(batch["input_ids"][0])
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert text.endswith("Why?<|im_end|>\n")


# What is wrong with one row -------------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 400
    data[start : start + len(data) // 3] = bytes(len(data) // 3)
    path.write_bytes(data)


def bad_row(kind: str, folder: Path) -> Any:
    """A row that cannot be used."""
    options: dict[str, Any] = {"num_frames": 4, "limits": limits_of(tiny("qwen2_5_vl")[1], FAMILIES["qwen2_5_vl"])}
    if kind == "record asks for too many frames":
        return make_record("bad", 0, num_frames=2)
    if kind == "other shape":
        write_video(folder / "bad.mp4")
        (row,) = examples_of(instructions(make_record("bad", 0, width=300), ("chain",), **options))
        return row
    (row,) = examples_of(instructions(make_record("bad", 0), ("chain",), **options))
    if kind == "missing":
        return row
    if kind == "empty":
        (folder / "bad.mp4").touch()
    elif kind == "not a video":
        (folder / "bad.mp4").write_text("<html>")
    else:
        write_video(folder / "bad.mp4")
    if kind == "damaged":
        damage(folder / "bad.mp4")
    elif kind == "frame beyond the end":
        row["frames"][-1] = 99
    elif kind == "other family":
        row["family"] = "qwen2_vl"
    elif kind == "frame size":
        row["width"] = 100
    elif kind == "placeholder in the text":
        row["messages"][0]["content"][1]["text"] += " <|video_pad|>"
    elif kind == "no answer":
        row["messages"] = row["messages"][:1]
    elif kind == "answer of two texts":
        row["messages"][1]["content"] *= 2
    elif kind == "no messages":
        del row["messages"]
    elif kind == "video after an answer":
        row["messages"][2]["content"].insert(0, row["messages"][0]["content"].pop(0))
    return row


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("missing", "video file missing", "bad.mp4: no such file"),
        ("empty", "video file empty", "bad.mp4: empty file"),
        ("not a video", "not a video", "bad.mp4: not a video"),
        ("damaged", "video damaged", "bad.mp4: "),
        ("frame beyond the end", "frame beyond the end of the video", "frame 99 asked for"),
        ("other shape", "video of another shape than its record", "128x96; expected the shape of the record's 300x96"),
        ("record asks for too many frames", "grid too small", "4"),
        ("other family", "other family", "written for the family qwen2_vl; expected qwen2_5_vl"),
        ("frame size", "frame size", "frames of 100x"),
        ("placeholder in the text", "video placeholders", "holds 2 of"),
        ("no answer", "no answer to learn", "no turn of the assistant"),
        ("answer of two texts", "answer is not one text", "expected one text"),
        ("no messages", "KeyError", "messages"),
        ("video after an answer", "labels", "an answer before the video"),
    ],
)
def test_one_bad_row_is_reported_and_the_rest_goes_on(kind: str, reason: str, words: str, tmp_path: Path) -> None:
    write_videos(tmp_path, "a", "b")
    limits = limits_of(tiny("qwen2_5_vl")[1], FAMILIES["qwen2_5_vl"])
    good = [
        row
        for name in "ab"
        for row in examples_of(instructions(make_record(name, 0), ("chain",), num_frames=4, limits=limits))
    ]
    events = Events()
    options: dict[str, Any] = {"videos": tmp_path, "task": "chain", "num_frames": 4, "report": events}
    collate = collator("qwen2_5_vl", **options)
    expected = collate(good)
    bad = bad_row(kind, tmp_path)
    batch = collate([good[0], bad, good[1]])
    assert set(batch) == set(expected)
    assert all(torch.equal(batch[name], value) for name, value in expected.items())
    (event,) = events.seen
    assert event["event"] == "skipped"
    assert (event["id"], event["task"]) == ("nextqa/validation/bad/0", "chain")
    assert event["reason"] == reason
    assert words in event["detail"]
    assert "\n" not in event["detail"]

    with pytest.raises(InputError, match="no row of a batch of 2 can be used; nextqa/validation/bad/0: ") as caught:
        collate([bad, bad])
    assert "\n" not in str(caught.value)


@each_family
def test_blank_batch_where_nothing_can_be_used(family: str, tmp_path: Path) -> None:
    events = Events()
    collate = collator(family, videos=tmp_path, task="chain", blank_batches=True, report=events)
    batch = collate([make_record("a", 0), make_record("b", 0)])
    assert (batch["labels"] == IGNORED).all()
    assert [event["reason"] for event in events.seen] == ["video file missing"] * 2
    model = tiny(family)[0]
    logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum")
    assert loss.item() == 0


def test_a_fault_of_the_batch_is_not_blamed_on_its_rows() -> None:
    rows = [
        {"messages": [*prompt("Why?").messages, {"role": "assistant", "content": "So."}], "clip": clip(f, num_frames=n)}
        for f, n in (("llava_onevision", 4), ("llava_onevision", 3))
    ]
    events = Events()
    with pytest.raises(InputError, match=r"cannot stack clips of \[3, 4\] frames in one batch"):
        collator("llava_onevision", report=events)(rows)
    assert events.seen == []


def test_records_without_a_task(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a record, and no task to learn of it"):
        collator("qwen2_5_vl", videos=tmp_path)([make_record("a", 0)])
    with pytest.raises(InputError, match="there is nothing to learn"):
        collator("qwen2_5_vl", videos=tmp_path, task="frame_localization")([make_record("a", 0)])
    (row,) = examples_of(instructions(make_record("a", 0), ("chain",)))
    with pytest.raises(InputError, match="name the folder of the videos"):
        collator("qwen2_5_vl")([row])


# Budget ---------------------------------------------------------------------------------------------------------------


@each_family
def test_budget_leaves_out_as_little_as_it_can(family: str) -> None:
    record = make_record("a", 0)
    (row,) = examples(family, [record], ("cotasks",))
    full = collator(family)([row])["input_ids"].shape[1]
    lengths = {}
    for budget in range(full, 0, -7):
        events = Events()
        batch = attempt(collator(family, max_tokens=budget, report=events), [row])
        if isinstance(batch, InputError):
            assert "tokens without any item that may be left out" in str(batch)
            assert events.seen[0]["reason"] == "budget too small"
            break
        length = batch["input_ids"].shape[1]
        cut = events.seen[0]["left_out"] if events.seen else 0
        assert length <= budget
        assert all(event["of"] == 4 for event in events.seen)
        lengths[cut] = length
        if cut:  # with an item more it would not fit
            assert lengths.get(cut - 1, budget + 1) > budget
        assert learned(family, batch) == spoken(family, row["messages"])
        text = tiny(family)[1].tokenizer.decode(batch["input_ids"][0])
        assert record.question in text
        assert "Entities: dog, ball" in text
    else:
        pytest.fail("no budget was too small")
    assert set(lengths) == set(range(5))


def test_budget_of_a_row_without_items() -> None:
    row = {
        "messages": [*prompt("How? " * 50).messages, {"role": "assistant", "content": "So."}],
        "clip": clip("qwen2_vl"),
    }
    length = collator("qwen2_vl")([row])["input_ids"].shape[1]
    assert collator("qwen2_vl", max_tokens=length)([row])["input_ids"].shape[1] == length
    with pytest.raises(InputError, match=rf"row without id: {length} tokens without any item .* at most {length - 1}"):
        collator("qwen2_vl", max_tokens=length - 1)([row])


# Workers --------------------------------------------------------------------------------------------------------------


def test_workers_of_a_data_loader(tmp_path: Path) -> None:
    write_videos(tmp_path, "a", "b")
    records = [make_record(name, 0) for name in ("a", "bad", "b", "a")]
    report = ReportFile(tmp_path / "report.jsonl")
    cache = FrameCache(tmp_path / "frames")
    options: dict[str, Any] = {"videos": tmp_path, "task": "cotasks", "num_frames": 4, "max_tokens": 400}
    collate = collator("qwen3_vl", **options, report=report, frame_cache=cache)
    expected = [collate(records[:2]), collate(records[2:])]
    assert (tmp_path / "report.jsonl").exists()
    (tmp_path / "report.jsonl").unlink()
    loader = torch.utils.data.DataLoader(
        records, batch_size=2, collate_fn=collate, num_workers=1, multiprocessing_context=FORKSERVER
    )
    for batch, want in zip(loader, expected, strict=True):
        assert list(batch) == list(want)
        assert all(torch.equal(batch[name], value) for name, value in want.items())
    events = [orjson.loads(line) for line in (tmp_path / "report.jsonl").read_bytes().splitlines()]
    assert [e["id"] for e in events if e["event"] == "skipped"] == ["nextqa/validation/bad/0"]


def test_examples_of_a_video_share_its_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_videos(tmp_path, "a", "b")
    records = [make_record(name, number) for number in range(3) for name in ("a", "bad", "b")]
    events = Events()
    options: dict[str, Any] = {"videos": tmp_path, "task": "cotasks", "num_frames": 4, "report": events}
    plain = collator("qwen2_5_vl", **options)
    cache = FrameCache(tmp_path / "frames")
    through = collator("qwen2_5_vl", **options, frame_cache=cache)
    expected = plain(records)
    reads: list[str] = []

    def counted(path: Path, *rest: Any) -> Any:
        reads.append(path.name)
        return video.read_frames(path, *rest)

    monkeypatch.setattr(frame_cache, "read_frames", counted)
    for collate in (through, pickle.loads(pickle.dumps(through))):
        batch = collate(records)
        assert list(batch) == list(expected)
        assert all(torch.equal(batch[name], value) for name, value in expected.items())
    assert reads == ["a.mp4", "b.mp4"]
    assert [event["reason"] for event in events.seen] == ["video file missing"] * 6


def test_events_are_logged_by_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_videos(tmp_path, "a")
    options: dict[str, Any] = {"videos": tmp_path, "task": "cotasks", "num_frames": 4}
    length = collator("qwen2_vl", **options)([make_record("a", 0)])["input_ids"].shape[1]
    collate = collator("qwen2_vl", **options, max_tokens=length - 1)
    with caplog.at_level(logging.INFO, "cotasks.training.events"):
        collate([make_record("a", 0), make_record("b", 0)])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "nextqa/validation/b/0 (cotasks): skipped: " in caplog.text
    assert "nextqa/validation/a/0 (cotasks): 1 of 4 items left out" in caplog.text


def test_nothing_heavy_is_imported_with_the_module() -> None:
    import subprocess
    import sys

    code = "import sys, cotasks.training.collator; print({'torch', 'transformers', 'av'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
