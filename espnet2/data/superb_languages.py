"""ML-SUPERB's languages as its folders spell them, and the utterances reserved ones are trained on.

Source: arXiv 2305.10615, the lists that ESPnet's recipe of the benchmark names, and the languages
of the release. Both tracks have the same five utterances of a reserved language.
"""

_NORMAL = """
abk afr amh ara asm ast aze azz bak bas bel ben bre bul cat ces chv ckb cmn cnh cym deu div ell
eng est eus fas fil fin fra gle glg grn guj hau heb hin hrv hsb hun hye ibo ina ind isl ita jav
jpn kab kam kan kat khm kin kir kmr kor lao lav lga lin ltz lug mal mar mhr mkd mlt mon mri mrj
msa mya myv nan nbl nep nld nno nob nor nso nya oci org_jpn ori orm ory pan pol por pus ron rus
sah sin skr slk slv sna snd som sot spa ssw swa swe tam tat tel tgk tha uig ukr urd uzb ven wol
xho xty yor yue
"""
_CHOSEN = {  # language -> prefix of ids and numbers
    "dan": "NST 7 72 cv 158 fleurs 58 71",
    "lit": "cv 26 105 fleurs 97 mls 40 voxpopuli 1707",
    "tur": "cv 95 101 fleurs 60 69 95",
    "srp": "cv 78 145 fleurs 68 93 105",
    "vie": "cv 105 128 fleurs 67 68 77",
    "kaz": "cv 80 97 111 fleurs 36 66",
    "zul": "fleurs 49 57 nchlt 27 90 104",
    "tsn": "googlei18n-tts 26 44 108 nchlt 1 32",
    "epo": "cv 6 39 63 66 76",
    "frr": "cv 23 86 95 102 104",
    "tok": "cv 4 11 30 84 101",
    "umb": "fleurs 28 29 33 40 47",
    "bos": "fleurs 67 78 80 88 90",
    "ful": "fleurs 55 59 67 76 81",
    "ceb": "fleurs 54 64 69 71 80",
    "luo": "fleurs 56 62 67 73 77",
    "kea": "fleurs 52 70 78 83 85",
    "sun": "googlei18n-asr 1 7 41 99 106",
    "tso": "nchlt 35 40 89 104 125",
    "tos": "mexico-el 6 122 152 496 563",
}


def _utterances(language: str, chosen: str) -> tuple[str, ...]:
    """``cv 80 fleurs 36`` of kaz -> ``("cv_kaz_000080", "fleurs_kaz_000036")``."""
    ids, prefix = [], ""
    for word in chosen.split():
        if word.isdigit():
            ids.append(f"{prefix}_{language}_{int(word):06d}")
        else:
            prefix = word
    return tuple(ids)


NORMAL_LANGUAGES = tuple(_NORMAL.split())  # org_jpn is one of its own in the benchmark
RESERVED_LANGUAGES = tuple(_CHOSEN)
FEW_SHOT_UTTERANCES = {language: _utterances(language, text) for language, text in _CHOSEN.items()}
