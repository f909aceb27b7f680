"""Tokens for open_clip's text towers are those that open_clip itself makes."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmsearch.encoders.text import text_cleaning
from mmsearch.encoders.text.clip_tokens import Tokens, TokenSettings
from mmsearch.errors import ModelError
from mmsearch.models.conversion.sample_images import SENTENCES
from tests.models import save_gemma_tokenizer

open_clip = pytest.importorskip("open_clip")
pytest.importorskip("transformers")
from mmsearch.models.conversion.open_clip_tokenizer import take_over  # noqa: E402  # needs open_clip

VOCABULARY = 12_000
# Python knows the characters of its own Unicode version, `regex` and `tokenizers` later ones too.
KNOWN = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"]), max_size=80)
LIKELY = st.text(
    st.sampled_from(
        [*"abcdefghijklmnopqrstuvwxyzABTZ      '’.,!-_019éßñÅİſ²½Ⅷ犬の한🐶\u200d\u0301\n\t<>&|"]
    ),
    max_size=200,
)
TEXTS = st.one_of(KNOWN, LIKELY, st.sampled_from(SENTENCES))
MANY = settings(max_examples=300, deadline=None)


@pytest.fixture(scope="module")
def clip() -> Any:
    return open_clip.tokenizer.SimpleTokenizer()


@pytest.fixture(scope="module")
def clip_tokens(clip: Any, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("clip")
    return Tokens.open(folder, take_over(clip, folder))


@pytest.fixture(scope="module")
def gemma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gemma_tokenizer(tmp_path_factory.mktemp("gemma"), VOCABULARY)


@pytest.fixture(scope="module")
def gemma(gemma_folder: Path) -> Any:
    return open_clip.tokenizer.HFTokenizer(gemma_folder, context_length=64, clean="canonicalize")


@pytest.fixture(scope="module")
def gemma_tokens(gemma: Any, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("kept")
    return Tokens.open(folder, take_over(gemma, folder))


def same(tokenizer: Any, tokens: Tokens, text: str) -> None:
    np.testing.assert_array_equal(tokens.encode([text]), np.asarray(tokenizer([text])))


@given(TEXTS)
@example("")
@example("it's we'll they've I'M 'ſ 'S")
@example("<start_of_text> and <END_OF_TEXT> and <end_of_text>!")
@example("&amp;lt;b&amp;gt; &copy &eacute;")
@example("\x1b[31mred\x1b[0m \x07bell")
@example("word " * 300)
@MANY
def test_clip_rows_are_those_of_open_clip(clip: Any, clip_tokens: Tokens, text: str) -> None:
    same(clip, clip_tokens, text)


@given(TEXTS)
@example("")
@example("<eos> <unused5> <bos>")
@example("a" * 500)
@example("three   spaces and ▁ and ▁▁")
@example("an emoji 🐶 and U+1F9FF 🧿")
@MANY
def test_siglip_rows_are_those_of_open_clip(gemma: Any, gemma_tokens: Tokens, text: str) -> None:
    same(gemma, gemma_tokens, text)


@pytest.mark.parametrize("clean", ["whitespace", "lower"])
def test_special_tokens_that_are_written_out_are_taken_as_open_clip_takes_them(
    gemma_folder: Path, tmp_path: Path, clean: str
) -> None:
    tokenizer = open_clip.tokenizer.HFTokenizer(gemma_folder, context_length=16, clean=clean)
    tokens = Tokens.open(tmp_path, take_over(tokenizer, tmp_path))

    for text in ("a <eos> b", "<unused5>", "<UNUSED5> x", "<bos>Ab", "<b>"):
        same(tokenizer, tokens, text)


def test_other_sides_and_lengths_are_kept(gemma_folder: Path, tmp_path: Path) -> None:
    tokenizer = open_clip.tokenizer.HFTokenizer(gemma_folder, context_length=9)
    tokenizer.tokenizer.padding_side = "left"
    tokens = Tokens.open(tmp_path, take_over(tokenizer, tmp_path))

    assert tokens.settings.pads_left
    for text in SENTENCES:
        same(tokenizer, tokens, text)


def test_a_tokenizer_of_another_kind_goes_through_the_library(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    (tmp_path / "vocab.txt").write_text("\n".join([*words, *(f"##{word}" for word in words[5:])]))
    BertTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path)
    tokenizer = open_clip.tokenizer.HFTokenizer(tmp_path, context_length=20, strip_sep_token=True)
    kept = tmp_path / "kept"
    kept.mkdir()
    tokens = Tokens.open(kept, take_over(tokenizer, kept))

    assert tokens.settings.form == "library"
    for text in (*SENTENCES, "", "zebra [SEP] zebra"):
        same(tokenizer, tokens, text)


def test_words_dropped_at_random_are_refused(tmp_path: Path) -> None:
    tokenizer = open_clip.tokenizer.SimpleTokenizer(reduction_mask="random")
    with pytest.raises(ModelError, match="reduction_mask"):
        take_over(tokenizer, tmp_path)


@given(TEXTS.filter(lambda text: "&" not in text))
@example("“curly” ‘quotes’ ﬁn ＬＯＵＤ　ﾊﾛｰ \u0085 \x93 a\r\nb\ufeff ﬅ ǆ")
@MANY
def test_texts_are_mended_alike_without_ftfy(text: str) -> None:
    import ftfy

    expected = ftfy.fix_text(text, fix_encoding=False)
    assert text_cleaning.without_ftfy(text) == expected


@given(st.text(max_size=60))
@MANY
def test_any_text_makes_a_row(clip_tokens: Tokens, gemma_tokens: Tokens, text: str) -> None:
    for tokens, width in ((clip_tokens, 77), (gemma_tokens, 64)):
        (row,) = tokens.encode([text])
        assert row.shape == (width,)
        assert row.dtype == np.int64
        assert (row >= 0).all()


def test_no_texts_are_no_rows(clip_tokens: Tokens) -> None:
    assert clip_tokens.encode([]).shape == (0, 77)


def test_settings_come_back_from_a_card(gemma_tokens: Tokens) -> None:
    kept = json.loads(json.dumps(gemma_tokens.settings.to_json()))

    assert TokenSettings.from_json(kept) == gemma_tokens.settings
    with pytest.raises(ModelError, match="broken"):
        TokenSettings.from_json({"form": "clip"})


def test_broken_files_are_told(tmp_path: Path, gemma_tokens: Tokens) -> None:
    with pytest.raises(ModelError, match="pull the model again"):
        Tokens.open(tmp_path, gemma_tokens.settings)


def test_tokens_need_neither_torch_nor_the_tokenizers_library(
    gemma_tokens: Tokens, clip: Any, tmp_path: Path
) -> None:
    settings_ = take_over(clip, tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps(settings_.to_json()))
    program = (
        "import sys, json; from pathlib import Path\n"
        "from mmsearch.encoders.text.clip_tokens import Tokens, TokenSettings\n"
        "folder = Path(sys.argv[1])\n"
        "settings = TokenSettings.from_json(json.loads((folder / 'settings.json').read_text()))\n"
        "print(Tokens.open(folder, settings).encode(['a dog on a beach']).shape)\n"
        "heavy = {'torch', 'open_clip', 'tokenizers', 'transformers', 'ftfy', 'regex'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["(1, 77)", "[]"]


def test_kinds_of_characters_are_those_of_unicode() -> None:
    from mmsearch.encoders.text.clip_tokens import _kind

    assert [_kind(one) for one in "aé犬ʰ1²Ⅷ½ \n\u00a0_'\x1c\u0301"] == [*"LLLLNNNN   ....."[:15]]
    assert unicodedata.category("²") == "No"
