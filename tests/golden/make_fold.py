#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes fold.tsv: names of many scripts and their folded form, by Python's own Unicode tables.

Each line is `NAME TAB FOLDED`, both in hex of UTF-8. Only code points that Python knows are used:
libraries differ in their Unicode version, and unknown code points stay.
Run it in its folder: ./make_fold.py > fold.tsv
"""
import random
import unicodedata

WRITTEN = [
    "Ação", "acao", "A\u0301\u0327\u0323", "\u1e9b\u0323", "ÅNGSTRÖM", "straße STRASSE", "\u1e9e", "İstanbul ıI", "ΣΊΣΥΦΟΣ σς",
    "\u0345\u03b1\u0345\u0301", "\u1fb3\u1fbc", "ǰ\u01f0", "ŉ", "ﬀ ﬁ ﬃ ﬅ", "Ⅷ ⅷ ½ ²", "ＦＵＬＬ　ｗｉｄｔｈ／？＊", "℀ ℅ ™ ℡",
    "한국어 파일", "한국어", "가각", "日本語のファイル.txt", "ガギグ ｶﾞｷﾞ", "ﾊﾟ", "中文文件", "繁體",
    "Привет ЁЙ", "ё\u0308", "Ἀθῆναι ΆΈ", "שָׁלוֹם", "العَرَبِيَّة ﷺ ﷲ", "हिन्दी फ़ाइल", "ক্ষ বাংলা", "தமிழ் கோப்பு", "ไทย ไฟล์", "ພາສາລາວ ຳ",
    "བོད་ཡིག", "မြန်မာ", "ភាសាខ្មែរ", "አማርኛ", "ᏣᎳᎩ ꭰꮳ", "ᲐᲑ ა", "Հայերեն և", "Ꙁꙁ Ⱥⱥ", "𐐀𐐨 𞤀𞤢", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚", "🎵 music 🇩🇪 👩‍👩‍👧",
    "a\u20dd b\u0488", "x\u093e\u0903", "\u00a0\u2003\u3000", "\u00b4\u00a8\u00af\u02d8", "\u200b\u200d\ufeff\u00ad", "Ǆǅǆ Ǉ Ǌ Ǳ", "ſ K Å",
    "e\u0301/e\u0301", "tab .tar.GZ", "ÀÁÂ[À-Ö]*?", "\ue000\uf8ff", "\ufdfa" * 3, "q\u0307\u0323 q\u0323\u0307",
]

RANGES = [
    (0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x5F4), (0x600, 0x6FF), (0x900, 0xDFF),
    (0xE00, 0xFFF), (0x1000, 0x10FF), (0x13A0, 0x13FF), (0x1C80, 0x1CBF), (0x1D00, 0x1DFF), (0x1E00, 0x1FFF), (0x2000, 0x2BFF),
    (0x2C00, 0x2DFF), (0x3000, 0x33FF), (0xA640, 0xA69F), (0xA720, 0xA7FF), (0xAB30, 0xABBF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
    (0xFB00, 0xFFEF), (0x10400, 0x104FF), (0x10C80, 0x10CFF), (0x11000, 0x1147F), (0x118A0, 0x118FF), (0x1D100, 0x1D7FF),
    (0x1E900, 0x1E95F), (0x1F100, 0x1F2FF), (0x2F800, 0x2FA1F),
]


def fold(text):
    cased = "".join(c.casefold() for c in unicodedata.normalize("NFKD", text))
    return "".join(c for c in cased if unicodedata.category(c) != "Mn")


def known(code):
    return unicodedata.category(chr(code)) not in ("Cn", "Cs", "Cc")


def main():
    source = random.Random(7)
    names = list(WRITTEN)
    for first, last in RANGES:
        codes = [c for c in range(first, last + 1) if known(c)]
        marks = [c for c in range(0x300, 0x370)]
        for _ in range(9):
            picked = source.choices(codes, k=source.randint(1, 12))
            for _ in range(source.randint(0, 3)):
                picked.insert(source.randint(1, len(picked)), source.choice(marks))
            names.append("".join(map(chr, picked)))
        # Every code point of the range that folding changes, so that no special case is missed.
        changed = [chr(c) for c in codes if fold(chr(c)) != chr(c)]
        names += ["".join(changed[i:i + 64]) for i in range(0, min(len(changed), 2048), 64)]
    for name in names:
        print(name.encode().hex(), fold(name).encode().hex(), sep="\t")


if __name__ == "__main__":
    main()
