"""Tokens for open_clip's text towers are those that open_clip itself makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmsearch.encoders.text import text_cleaning
from mmsearch.encoders.text.clip_tokens import ClipTokenizer, TokenSettings
from mmsearch.encoders.text.text_tokens import (
    MAX_PARTIAL_CHARACTERS,
    PARTIAL_TOKENIZER_NAME,
    StoredTokenizer,
)
from mmsearch.errors import ModelError
from mmsearch.models.conversion import vocabulary
from mmsearch.models.conversion.sample_images import SENTENCES
from tests.models import save_gemma_tokenizer

open_clip = pytest.importorskip("open_clip")
pytest.importorskip("transformers")
from mmsearch.models.conversion.open_clip_tokenizer import convert_tokenizer  # noqa: E402  # needs open_clip

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
def clip_tokens(clip: Any, tmp_path_factory: pytest.TempPathFactory) -> ClipTokenizer:
    folder = tmp_path_factory.mktemp("clip")
    return ClipTokenizer.open(folder, convert_tokenizer(clip, folder))


@pytest.fixture(scope="module")
def gemma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gemma_tokenizer(tmp_path_factory.mktemp("gemma"), VOCABULARY)


@pytest.fixture(scope="module")
def gemma(gemma_folder: Path) -> Any:
    return open_clip.tokenizer.HFTokenizer(gemma_folder, context_length=64, clean="canonicalize")


@pytest.fixture(scope="module")
def gemma_tokens(gemma: Any, tmp_path_factory: pytest.TempPathFactory) -> ClipTokenizer:
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "MIN_PARTIAL_VOCABULARY", 0)  # the real one has 256,000 tokens
        return ClipTokenizer.open(folder, convert_tokenizer(gemma, folder))


def same(tokenizer: Any, tokens: ClipTokenizer, text: str) -> None:
    """Through the small tokenizer, where the text is short, and through the whole one."""
    expected = np.asarray(tokenizer([text]))
    small = ClipTokenizer(tokens.settings, StoredTokenizer(tokens._tokens._folder))
    assert tokens._tokens.full_tokenizer is not None
    np.testing.assert_array_equal(small.encode([text]), expected)
    np.testing.assert_array_equal(tokens.encode([text]), expected)


@given(TEXTS)
@example("")
@example("it's we'll they've I'M 'ſ 'S")
@example("<start_of_text> and <END_OF_TEXT> and <end_of_text>!")
@example("!<end_of_text> a<start_of_text>b <start_of_text <start_of_text>> <<end_of_text>")
@example("&amp;lt;b&amp;gt; &copy &eacute;")
@example("\x1b[31mred\x1b[0m \x07bell")
@example("word " * 300)
@MANY
def test_clip_rows_are_those_of_open_clip(clip: Any, clip_tokens: ClipTokenizer, text: str) -> None:
    same(clip, clip_tokens, text)


@given(TEXTS)
@example("")
@example("<eos> <unused5> <bos>")
@example("a" * 500)
@example("three   spaces and ▁ and ▁▁")
@example("an emoji 🐶 and U+1F9FF 🧿")
@MANY
def test_siglip_rows_are_those_of_open_clip(
    gemma: Any, gemma_tokens: ClipTokenizer, text: str
) -> None:
    same(gemma, gemma_tokens, text)


@pytest.mark.parametrize("clean", ["whitespace", "lower"])
def test_special_tokens_that_are_written_out_are_taken_as_open_clip_takes_them(
    gemma_folder: Path, tmp_path: Path, clean: str
) -> None:
    tokenizer = open_clip.tokenizer.HFTokenizer(gemma_folder, context_length=16, clean=clean)
    tokens = ClipTokenizer.open(tmp_path, convert_tokenizer(tokenizer, tmp_path))

    for text in ("a <eos> b", "<unused5>", "<UNUSED5> x", "<bos>Ab", "<b>"):
        same(tokenizer, tokens, text)


def test_other_sides_and_lengths_are_kept(gemma_folder: Path, tmp_path: Path) -> None:
    tokenizer = open_clip.tokenizer.HFTokenizer(gemma_folder, context_length=9)
    tokenizer.tokenizer.padding_side = "left"
    tokens = ClipTokenizer.open(tmp_path, convert_tokenizer(tokenizer, tmp_path))

    assert tokens.settings.pads_left
    for text in SENTENCES:
        same(tokenizer, tokens, text)


def test_a_small_tokenizer_of_another_kind_is_taken_over_whole(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    (tmp_path / "vocab.txt").write_text("\n".join([*words, *(f"##{word}" for word in words[5:])]))
    BertTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path)
    tokenizer = open_clip.tokenizer.HFTokenizer(tmp_path, context_length=20, strip_sep_token=True)
    kept = tmp_path / "kept"
    kept.mkdir()
    tokens = ClipTokenizer.open(kept, convert_tokenizer(tokenizer, kept))

    assert not (kept / PARTIAL_TOKENIZER_NAME).exists()
    for text in (*SENTENCES, "", "zebra [SEP] zebra"):
        same(tokenizer, tokens, text)


def test_words_dropped_at_random_are_refused(tmp_path: Path) -> None:
    tokenizer = open_clip.tokenizer.SimpleTokenizer(reduction_mask="random")
    with pytest.raises(ModelError, match="reduction_mask"):
        convert_tokenizer(tokenizer, tmp_path)


@given(TEXTS.filter(lambda text: "&" not in text))
@example("“curly” ‘quotes’ ﬁn ＬＯＵＤ　ﾊﾛｰ \u0085 \x93 a\r\nb\ufeff ﬅ ǆ")
@MANY
def test_texts_are_mended_alike_without_ftfy(text: str) -> None:
    import ftfy

    expected = ftfy.fix_text(text, fix_encoding=False)
    assert text_cleaning.fix_text(text) == expected


@given(st.text(max_size=60))
@MANY
def test_any_text_makes_a_row(
    clip_tokens: ClipTokenizer, gemma_tokens: ClipTokenizer, text: str
) -> None:
    for tokens, width in ((clip_tokens, 77), (gemma_tokens, 64)):
        (row,) = tokens.encode([text])
        assert row.shape == (width,)
        assert row.dtype == np.int64
        assert (row >= 0).all()


def test_no_texts_are_no_rows(clip_tokens: ClipTokenizer) -> None:
    assert clip_tokens.encode([]).shape == (0, 77)


def test_settings_come_back_from_a_card(gemma_tokens: ClipTokenizer) -> None:
    kept = json.loads(json.dumps(gemma_tokens.settings.to_json()))

    assert TokenSettings.from_json(kept) == gemma_tokens.settings
    with pytest.raises(ModelError, match="broken"):
        TokenSettings.from_json({"clean": "lower"})


def test_broken_files_are_told(tmp_path: Path, gemma_tokens: ClipTokenizer) -> None:
    with pytest.raises(ModelError, match="pull the model again"):
        ClipTokenizer.open(tmp_path, gemma_tokens.settings).encode(["rain"])


def test_a_short_text_opens_no_vocabulary(
    gemma_tokens: ClipTokenizer, clip_tokens: ClipTokenizer
) -> None:
    for tokens in (gemma_tokens, clip_tokens):
        fresh = ClipTokenizer(tokens.settings, StoredTokenizer(tokens._tokens._folder))

        fresh.encode(["a dog on a beach"])
        assert fresh._tokens._opened is None

        fresh.encode(["rain " * MAX_PARTIAL_CHARACTERS])
        assert fresh._tokens._opened is not None


def test_tokens_need_neither_torch_nor_what_made_the_model(
    gemma_tokens: ClipTokenizer, clip: Any, tmp_path: Path
) -> None:
    settings_ = convert_tokenizer(clip, tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps(settings_.to_json()))
    program = (
        "import sys, json; from pathlib import Path\n"
        "from mmsearch.encoders.text.clip_tokens import ClipTokenizer, TokenSettings\n"
        "folder = Path(sys.argv[1])\n"
        "settings = TokenSettings.from_json(json.loads((folder / 'settings.json').read_text()))\n"
        "print(ClipTokenizer.open(folder, settings).encode(['a dog on a beach']).shape)\n"
        "heavy = {'torch', 'open_clip', 'transformers', 'ftfy', 'regex'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["(1, 77)", "[]"]
