"""A tokenizer made for a few texts gives the ids that the whole one gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from mmsearch.encoders.text.text_tokens import (
    MAX_PARTIAL_CHARACTERS,
    PARTIAL_TOKENIZER_NAME,
    PIECES_NAME,
    StoredTokenizer,
)
from mmsearch.errors import ModelError
from mmsearch.models.conversion import vocabulary
from tests.models_sound import WORDS, sentences, unigram_tokenizer

TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from([*WORDS, "dogs,", "RAIN", "中", "🐶", " "]), max_size=8).map(" ".join),
)


def byte_level(folder: Path) -> None:
    """As RoBERTa's and Qwen's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        sentences(300),
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))


def byte_fallback(folder: Path) -> None:
    """As Gemma's."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        sentences(300),
        trainers.BpeTrainer(vocab_size=900, special_tokens=special, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def unigram(folder: Path) -> None:
    """As XLM-R's."""
    unigram_tokenizer(folder, 5000)


@pytest.fixture(scope="module", params=[unigram, byte_level, byte_fallback])
def tokens(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> StoredTokenizer:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    request.param(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "MIN_PARTIAL_VOCABULARY", 0)
        vocabulary.convert_tokenizer(source, target)
    assert (target / PARTIAL_TOKENIZER_NAME).is_file()
    return StoredTokenizer(target)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_ids_of_any_text_are_those_of_the_whole(tokens: StoredTokenizer, text: str) -> None:
    assert tokens.partial_tokenizer is not None
    clean = text.encode("utf-8", "replace").decode()

    few = tokens.partial_tokenizer.encode([clean])

    assert few in (None, [tokens.full_tokenizer.encode(clean).ids])


@pytest.mark.parametrize("text", ["a <s> b", "rain</s>", "x <eos>"])
def test_a_text_that_spells_a_special_token_has_the_ids_of_the_whole(
    tokens: StoredTokenizer, text: str
) -> None:
    assert StoredTokenizer(tokens._folder).encode([text]) == [
        tokens.full_tokenizer.encode(text).ids
    ]


def test_few_texts_do_not_open_the_whole(tokens: StoredTokenizer) -> None:
    fresh = StoredTokenizer(tokens._folder)

    fresh.encode(["a dog on the roof", "", "rain"])
    assert fresh._opened is None

    fresh.encode(["rain " * MAX_PARTIAL_CHARACTERS])
    assert fresh._opened is not None


def test_a_small_vocabulary_has_no_quick_form(tmp_path: Path) -> None:
    byte_level(tmp_path)
    target = tmp_path / "target"
    target.mkdir()

    kept = vocabulary.convert_tokenizer(tmp_path, target)

    assert kept.partial_tokenizer is None
    assert kept.encode(["rain"]) == [kept.full_tokenizer.encode("rain").ids]


def test_what_would_give_other_ids_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unigram(tmp_path)
    target = tmp_path / "target"
    target.mkdir()
    monkeypatch.setattr(vocabulary, "MIN_PARTIAL_VOCABULARY", 0)
    monkeypatch.setattr(vocabulary, "_LONGEST", 1)  # too short for any word

    vocabulary.convert_tokenizer(tmp_path, target)

    assert not (target / PARTIAL_TOKENIZER_NAME).exists()
    assert not (target / PIECES_NAME).exists()


def test_a_broken_frame_says_which_and_what_to_do(tokens: StoredTokenizer, tmp_path: Path) -> None:
    (tmp_path / PARTIAL_TOKENIZER_NAME).write_text(json.dumps({"tokenizer": {}}))

    with pytest.raises(ModelError, match=r"tokenizer\.frame\.json.*pull it again"):
        StoredTokenizer(tmp_path).encode(["rain"])


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")

    with pytest.raises(ModelError, match="is no tokenizer"):
        StoredTokenizer(tmp_path).encode(["rain"])
