"""Texts of every script and encoding are read, and damage costs the damaged letters only."""

from __future__ import annotations

import io
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.media.texts.encoding import decode_if_text, read_text

TEXTS = {
    "German": "Größe und Straße: das Mädchen läuft über die Brücke. Prüfung im März.\n",
    "French": "L'été dernier, nous avons mangé à côté de la forêt; où êtes-vous allés?\n",
    "Polish": "Zażółć gęślą jaźń. Dzień dobry, łąka jest piękna i źródło żywe.\n",
    "Russian": "Сегодня в саду созрел крыжовник, и мы варим варенье. Её брат уехал в Рим.\n",
    "Greek": "Σήμερα πηγαίνουμε στη θάλασσα με τα παιδιά. Ο καιρός είναι πολύ καλός.\n",
    "Hebrew": "שלום עולם, היום אנחנו הולכים לים עם הילדים. מזג האוויר יפה מאוד.\n",
    "Arabic": "مرحبا بالعالم، نذهب اليوم إلى البحر مع الأطفال. الطقس جميل جدا.\n",
    "Persian": "می\u200cخواهم به کتابخانه بروم. کتاب\u200cهای خوبی در آنجا هست.\n",
    "Hindi": "आज हम बच्चों के साथ समुद्र तट पर जा रहे हैं। मौसम बहुत अच्छा है।\n",
    "Thai": "วันนี้เราไปทะเลกับเด็กๆ อากาศดีมาก แล้วพบกันใหม่\n",
    "Tamil": "இன்று நாங்கள் குழந்தைகளுடன் கடலுக்குச் செல்கிறோம்.\n",
    "Amharic": "ዛሬ ከልጆች ጋር ወደ ባሕር እንሄዳለን። አየሩ በጣም ጥሩ ነው።\n",
    "Georgian": "დღეს ჩვენ ბავშვებთან ერთად ზღვაზე მივდივართ. ამინდი კარგია.\n",
    "Korean": "오늘 우리는 아이들과 함께 바다에 갑니다. 날씨가 매우 좋습니다.\n",
    "Japanese": "明日の会議は京都駅の近くで行われます。カタカナもあります。\n",
    "Chinese": "今天我们和孩子们一起去海边。天气非常好,我们很高兴。明天还要开会。\n",
    "Vietnamese": "Hôm nay chúng tôi đi biển với bọn trẻ. Thời tiết rất đẹp.\n",
    "English": "Today we walk to the sea with the children. The weather is fine.\n",
    "emoji": "Nice day \U0001f600\U0001f389 at the beach, family \U0001f468\u200d\U0001f469\n",
}
BYTES_OF_NO_TEXT = st.sampled_from([b"\xff", b"\xfe", b"\xe9", b"\xfc\xdf", b"\x92", b"\xc0"])


def read(content: bytes) -> str:
    return "".join(read_text(io.BytesIO(content)))


@pytest.mark.parametrize("count", [1, 200])
@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"],
)
def test_every_script_is_read_with_and_without_a_mark(
    encoding: str, language: str, count: int
) -> None:
    text = TEXTS[language] * count
    content = text.encode(encoding)
    assert decode_if_text(content[:8192]) is not None
    assert read(content) == text


@pytest.mark.parametrize("count", [3, 400])
@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("German", "cp1252"),
        ("Polish", "cp1250"),
        ("Russian", "cp1251"),
        ("Russian", "koi8_r"),
        ("Russian", "cp866"),
        ("Greek", "cp1253"),
        ("Hebrew", "cp1255"),
        ("Arabic", "cp1256"),
        ("Thai", "cp874"),
        ("Korean", "cp949"),
        ("Japanese", "cp932"),
        ("Japanese", "euc_jp"),
        ("Chinese", "gb18030"),
    ],
)
def test_older_encodings_are_told_apart(language: str, encoding: str, count: int) -> None:
    text = TEXTS[language] * count
    content = text.encode(encoding)
    assert decode_if_text(content[:8192]) is not None
    assert read(content) == text


@settings(deadline=None, max_examples=150)
@given(
    language=st.sampled_from(sorted(set(TEXTS) - {"English"})),
    count=st.sampled_from([1, 3, 150, 1500]),
    bad=BYTES_OF_NO_TEXT,
    places=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_bytes_of_no_text_cost_no_letter(
    language: str, count: int, bad: bytes, places: list[float]
) -> None:
    text = TEXTS[language] * count
    cuts = [0, *sorted(round(place * len(text)) for place in places), len(text)]
    parts = [text[start:end] for start, end in pairwise(cuts)]
    content = bad.join(part.encode() for part in parts)
    assert decode_if_text(content[:8192]) is not None
    found = read(content)
    at = 0
    for part in parts:
        assert found[at : at + len(part)] == part
        at += len(part) + len(bad)
    assert len(found) == len(text) + len(bad) * len(places)


@settings(deadline=None, max_examples=100)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_text_survives_utf8(text: str) -> None:
    assert read(text.encode()) == text.removeprefix("\ufeff")


@settings(deadline=None, max_examples=200)
@given(content=st.binary(max_size=2000))
def test_reading_never_fails(content: bytes) -> None:
    decode_if_text(content)
    read(content)


@pytest.mark.parametrize("language", TEXTS)
def test_a_last_character_that_is_cut_costs_itself(language: str) -> None:
    text = TEXTS[language].rstrip()[:-1] + "ç日"
    for cut in (1, 2):
        content = text.encode()[:-cut]
        assert decode_if_text(content) is not None
        assert read(content).startswith(text[:-1])


def test_a_character_may_lie_over_two_blocks_that_are_damaged() -> None:
    for shift in range(6):
        text = "x" * shift + TEXTS["Japanese"] * 9000
        content = b"\xff".join([text.encode()] * 2)
        assert read(content) == text + "ÿ" + text


def test_lines_of_two_encodings_are_both_read() -> None:
    for language, encoding in (("German", "cp1252"), ("Russian", "cp1251"), ("Greek", "cp1253")):
        line = TEXTS[language]
        for counts in ((40, 3), (3, 40), (2, 2)):
            content = line.encode() * counts[0] + line.encode(encoding) * counts[1]
            assert read(content) == line * sum(counts), (language, counts)


def test_pairs_of_surrogates_in_utf8_are_characters() -> None:
    content = TEXTS["Russian"].encode() + "hi \U0001f600".encode("utf-16-be").hex().encode()
    pair = "\ud83d\ude00".encode("utf-8", "surrogatepass")
    assert read(content + pair).endswith("\U0001f600")


def test_a_few_zeros_do_not_make_a_text_binary() -> None:
    text = TEXTS["German"] * 20
    for content in (
        text.encode() + bytes(5000),
        bytes(3000) + text.encode(),
        text.replace("Brücke. ", "Brücke.\0", 3).encode(),
        text.replace("Brücke. ", "Brücke.\x1a", 3).encode("cp1252"),
    ):
        found = decode_if_text(content[:8192])
        assert found is not None
        assert "das M" in found
        assert "das Mädchen läuft über die Brücke." in read(content)


@pytest.mark.parametrize("seed", range(40))
def test_numbers_are_no_text(seed: int) -> None:
    numbers = random.Random(seed)
    count = numbers.choice([20, 200, 2000])
    width = numbers.choice([2, 4])
    highest = numbers.choice([200, 1000, 4000, 30_000, 60_000])
    order = numbers.choice(["little", "big"])
    values = [numbers.randrange(highest) for _ in range(count)]
    content = b"".join(value.to_bytes(width, order) for value in values)  # type: ignore[arg-type]
    assert decode_if_text(content) is None


@pytest.mark.parametrize("length", [64, 500, 8192])
def test_random_bytes_are_no_text(length: int) -> None:
    for seed in range(50):
        assert decode_if_text(random.Random(seed).randbytes(length)) is None
