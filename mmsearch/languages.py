"""Names languages by codes of ISO 639, and guesses the language of a text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_MAX_CHARS = 20_000
_MIN_WORDS = 4
# Of all words, a fifth to a half are among the commonest ones of a language.
_MIN_SHARE = 0.12
_MIN_LEAD = 1.3
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def _parse_table(text: str) -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for line in text.strip().splitlines():
        code, *words = line.split()
        table[code] = (*table.get(code, ()), *words)
    return table


# ISO 639-1, then ISO 639-2 (both codes, where there are two), then names in English and their own.
_LANGUAGES = _parse_table("""
    aa aar afar
    ab abk abkhazian
    ae ave
    af afr afrikaans
    ak aka akan
    am amh amharic
    an arg aragonese
    ar ara arabic العربية
    as asm assamese
    av ava
    ay aym aymara
    az aze azerbaijani azərbaycan
    ba bak bashkir
    be bel belarusian беларуская
    bg bul bulgarian български
    bi bis
    bm bam bambara
    bn ben bengali bangla
    bo bod tib tibetan
    br bre breton brezhoneg
    bs bos bosnian bosanski
    ca cat catalan català valencian
    ce che chechen
    ch cha
    co cos corsican
    cr cre
    cs ces cze czech čeština česky
    cu chu
    cv chv chuvash
    cy cym wel welsh cymraeg
    da dan danish dansk
    de deu ger german deutsch
    dv div divehi
    dz dzo dzongkha
    ee ewe
    el ell gre greek ελληνικά
    en eng english
    eo epo esperanto
    es spa spanish español castellano espanol latino
    et est estonian eesti
    eu eus baq basque euskara
    fa fas per persian farsi فارسی
    ff ful
    fi fin finnish suomi
    fj fij fijian
    fo fao faroese føroyskt
    fr fra fre french français francais
    fy fry frisian
    ga gle irish gaeilge
    gd gla gaelic
    gl glg galician galego
    gn grn guarani
    gu guj gujarati
    gv glv manx
    ha hau hausa
    he heb hebrew עברית
    hi hin hindi हिन्दी
    ho hmo
    hr hrv scr croatian hrvatski
    ht hat haitian
    hu hun hungarian magyar
    hy hye arm armenian
    hz her
    ia ina
    id ind indonesian bahasa
    ie ile
    ig ibo igbo
    ii iii
    ik ipk
    io ido
    is isl ice icelandic íslenska
    it ita italian italiano
    iu iku inuktitut
    ja jpn japanese 日本語
    jv jav javanese
    ka kat geo georgian
    kg kon
    ki kik
    kj kua
    kk kaz kazakh
    kl kal greenlandic
    km khm khmer
    kn kan kannada
    ko kor korean 한국어
    kr kau
    ks kas
    ku kur kurdish
    kv kom
    kw cor cornish
    ky kir kyrgyz
    la lat latin
    lb ltz luxembourgish lëtzebuergesch
    lg lug ganda
    li lim
    ln lin lingala
    lo lao
    lt lit lithuanian lietuvių
    lu lub
    lv lav latvian latviešu
    mg mlg malagasy
    mh mah
    mi mri mao maori
    mk mkd mac macedonian македонски
    ml mal malayalam
    mn mon mongolian
    mr mar marathi
    ms msa may malay melayu
    mt mlt maltese malti
    my mya bur burmese
    na nau
    nb nob bokmål bokmal
    nd nde
    ne nep nepali
    ng ndo
    nl nld dut dutch nederlands flemish vlaams
    nn nno nynorsk
    no nor norwegian norsk
    nr nbl
    nv nav navajo
    ny nya chichewa
    oc oci occitan
    oj oji
    om orm oromo
    or ori odia
    os oss
    pa pan punjabi
    pi pli
    pl pol polish polski
    ps pus pashto
    pt por portuguese português portugues brazilian
    qu que quechua
    rm roh romansh rumantsch
    rn run
    ro ron rum romanian română moldavian
    ru rus russian русский
    rw kin kinyarwanda
    sa san sanskrit
    sc srd sardinian
    sd snd sindhi
    se sme sami
    sg sag
    si sin sinhala
    sk slk slo slovak slovenčina
    sl slv slovenian slovene slovenščina
    sm smo samoan
    sn sna shona
    so som somali
    sq sqi alb albanian shqip
    sr srp scc serbian srpski српски
    ss ssw
    st sot
    su sun sundanese
    sv swe swedish svenska
    sw swa swahili
    ta tam tamil
    te tel telugu
    tg tgk tajik
    th tha thai ไทย
    ti tir tigrinya
    tk tuk turkmen
    tl tgl tagalog filipino fil
    tn tsn tswana
    to ton tongan
    tr tur turkish türkçe
    ts tso
    tt tat tatar
    tw twi
    ty tah
    ug uig uyghur
    uk ukr ukrainian українська
    ur urd urdu
    uz uzb uzbek
    ve ven
    vi vie vietnamese
    vo vol
    wa wln walloon
    wo wol wolof
    xh xho xhosa
    yi yid yiddish
    yo yor yoruba
    za zha
    zh zho chi cmn chs cht chinese mandarin 中文 简体 繁體 简体中文 繁體中文 hans hant
    zu zul zulu
    """)
_CODES = {name: code for code, names in _LANGUAGES.items() for name in (code, *names)}
# Further three letters are codes of smaller languages, but these are words in the names of films.
_NO_LANGUAGES = """
    und unk mul zxx mis qaa the and web rip cam hdr vhs new old all
"""
_UNKNOWN = frozenset(_NO_LANGUAGES.split())

_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "zh",
    "THAI": "th",
    "HEBREW": "he",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "KHMER": "km",
    "LAO": "lo",
    "MYANMAR": "my",
    "ETHIOPIC": "am",
}
_COMMON_WORDS = {
    code: frozenset(words)
    for code, words in _parse_table("""
    en the and of to a in is that it was for you i he with on are this be not have they from
    en she we his what but by at do your my so there here out can will just all
    de der die das und ist nicht ich du sie es wir ihr ein eine einen zu den dem mit auf für
    de von im was auch wie nur noch aus wenn aber dass hat sich so uns euer mein er war kann
    de als an
    fr le la les et est pas je tu il elle nous vous un une des de du que qui ne dans pour ce
    fr sur avec en au mais c'est qu'il j'ai l'on plus son sa ses mon cette on sont à été
    es el la los las y es no yo tú que de un una en por para con se lo su me te mi está pero
    es como más qué del al si ya hay muy era fue esta este
    it il lo la gli e è non io tu che di un una in per con si mi ti del della ma come più cosa
    it sono ho questo questa anche era nel dei le al ci se
    pt o a os as e é não eu você que de um uma em para com se no na do da por mais mas como meu
    pt está isso foi ele ela seu sua dos das ao
    nl de het een en is niet ik je jij we wij ze dat van in op te voor met zijn er maar ook wat
    nl die dit naar heb heeft mijn nog als hij was aan om
    pl i w nie to się na jest że z do co jak ja ty my on ona ale tak mnie jego za od po czy już
    pl tylko był dla jestem ci
    cs a je to se na že v ne co jak já ty my on ale tak si do ho mi jsem by za pro už byl jen
    cs kde jsi být s z
    sk a je to sa na že v nie čo ako ja ty my on ale tak si do ho mi som by za pre už bol len
    sk kde byť s z
    sv och i att det som en på är av för med den jag du vi inte han hon ett om så men har till
    sv från vad kan nu var mig här
    da og i at det som en på er af for med den jeg du vi ikke han hun et om så men har til fra
    da hvad kan nu var mig her
    no og i at det som en på er av for med den jeg du vi ikke han hun et om så men har til fra
    no hva kan nå var meg her
    fi ja on ei se hän minä sinä että en oli mutta kun niin mitä olen ole nyt myös tämä joka
    fi kuin vain he me te sen hänen
    hu a az és nem hogy ez egy van én te is meg de csak mi már volt ha mint el azt ki még vagy
    hu itt ott
    ro și nu este un o de la în pe cu să că mă te ce mai din dar am ai are sunt pentru care ne
    ro el ea fost
    tr ve bir bu ne için de da değil çok ben sen o biz mi var yok ama gibi daha olarak şey evet
    tr hayır kadar ile
    id yang dan di ini itu tidak aku kamu saya dia kita untuk dengan ada dari ke akan apa bisa
    id sudah adalah pada mereka
    vi và là của không có tôi bạn anh em cho này đó một những với được người trong đã các như
    vi để
    hr i je da se u na ne to što sam si ja ti mi on ali kako za od s su bio kao ako samo li
    sl in je da se v na ne to kaj sem si jaz ti mi on ampak kako za od z so bil kot če samo ali
    ca el la els les i és no jo tu que de un una en per amb es ho seu em et però com més què
    ca del al si ja hi molt
    et ja on ei see et ma sa ta mis kui aga ka me te nad oli oma kas siis nii veel seda
    lt ir yra ne tai kad aš tu jis ji mes į su bet kaip iš už ar čia man tik buvo savo
    lv un ir ne tas ka es tu viņš viņa mēs uz ar bet kā no par vai šeit man tikai bija
    ru и в не что я на с он как это ты мы но все она так его за по у вы а же от
    uk і в не що я на з він як це ти ми але все вона так його за по у ви а же від та
    bg и в не че аз на с той как това ти ние но все тя така му за по да е се от ще
    sr и у не да ја на са он како то ти ми али се она је за по од ће
    ar في من على هذا أن لا ما إلى هل أنا أنت كان هذه مع لم عن هو هي
    fa در از که این به را با است من تو یک برای آن نه ما می
    ur کے میں ہے کی اور سے کو کا یہ نہیں وہ پر
    """).items()
}


def parse_language(tag: str | None) -> str | None:
    """Returns the code of a language tag or name such as en, eng, pt-BR or English; None if none.

    The code has two letters where ISO 639-1 has one, else three, and no region.
    """
    folded = unicodedata.normalize("NFC", tag or "").strip().casefold()
    if folded in _UNKNOWN:
        return None
    if code := _CODES.get(folded):
        return code
    first, *rest = re.split(r"[-_ ]", folded)
    if rest and (code := _CODES.get(first)):
        return code
    is_code = len(first) == 3 and first.isascii() and first.isalpha() and first not in _UNKNOWN
    return first if is_code and not rest else None


def shorten_code(code: str) -> str:
    """Returns the code of two letters for one of three, where there is one; else the code."""
    return _CODES.get(code, code) if len(code) == 3 else code


def guess_language(lines: Iterable[str]) -> str | None:
    """Returns the language of a text by its script and commonest words; None where unsure."""
    text = ""
    for line in lines:
        text += line + "\n"
        if len(text) > _MAX_CHARS:
            break
    words = [word.replace("’", "'") for word in _WORD.findall(text.casefold())]
    if code := _judge_script(text):
        return code
    if len(words) < _MIN_WORDS:
        return None
    counts = Counter(words)
    scores = {
        code: sum(counts[word] for word in common) / len(words)
        for code, common in _COMMON_WORDS.items()
    }
    (best, score), (_, second) = Counter(scores).most_common(2)
    return best if score >= _MIN_SHARE and score >= _MIN_LEAD * second else None


def _judge_script(text: str) -> str | None:
    """Returns the language of a script that few share."""
    letters = [char for char in text[:2000] if char.isalpha()]
    if not letters:
        return None
    scripts = Counter(unicodedata.name(char, "").split(" ")[0].split("-")[0] for char in letters)
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > 0.1 * len(letters):
        return "ja"
    script, count = scripts.most_common(1)[0]
    return _SCRIPTS.get(script) if count > 0.5 * len(letters) else None
