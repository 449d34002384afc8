"""What the packages of the mini corpus look like, and what is read from them."""

import pytest

from espnet2.data.corpora import asterisk, fillets, tuxpaint
from espnet2.data.corpora.clips import count_reasons
from espnet2.utils.errors import DataError

OWL = "A white owl.\nfr.utf8=Un hibou  blanc !\nru.utf8=\nca@valencia.utf8=Un mussol.\nnonsense\n"
LUA = """
dialogId("let-m-divna", "font_small", "What \\"ship\\" is that?")
dialogStr("Co je to za \\"loď\\"?")

dialogId("let-x-ticho", "font_statue", "Silence.")
dialogStr("Ticho.")
dialogId("laser", "", "")
"""


def test_phrases_of_a_stamp_are_read_by_language_code():
    assert tuxpaint.parse_phrases(OWL) == {
        "en": "A white owl.", "fr": "Un hibou blanc !", "ca@valencia": "Un mussol.",
    }  # fmt: skip


@pytest.fixture
def stamps(tmp_path):
    root = tmp_path / tuxpaint.STAMPS / "animals"
    root.mkdir(parents=True)
    (root / "owl.txt").write_text(OWL, encoding="utf-8")
    (root / "ant.txt").write_text("An ant.\nfr.utf8=Une fourmi.\n", encoding="utf-8")
    for name in ("owl_desc_fr", "owl_desc_ru", "owl_desc_lt", "ant_desc_fr", "owl"):
        (root / f"{name}.ogg").write_bytes(b"")
    return tmp_path


def test_a_stamp_has_one_number_and_one_group_in_every_language(stamps):
    phrases = tuxpaint.read_phrases(stamps)
    clips, dropped = tuxpaint.read_clips(stamps, {"fra": "fr", "rus": "ru"}, phrases)
    assert [(c.utt_id, c.text, c.group) for c in clips] == [
        ("tuxpaint_fra_000000", "Une fourmi.", "animals/ant"),
        ("tuxpaint_fra_000001", "Un hibou blanc !", "animals/owl"),
        ("tuxpaint_rus_000001", None, "animals/owl"),
    ]
    assert [(row.utt_id, row.reason) for row in dropped] == [("owl_desc_lt.ogg", "other_language")]


def test_a_folder_without_stamps_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no stamps"):
        tuxpaint.read_phrases(tmp_path)


def test_dialogues_keep_the_two_main_voices_apart_from_effects():
    lines = fillets.parse_dialogues(LUA)
    assert lines == {
        "let-m-divna": fillets.Line(voice="small", text='Co je to za "loď"?'),
        "let-x-ticho": fillets.Line(voice="", text="Ticho."),
    }


def test_fillets_drops_other_voices_and_lines_without_text(tmp_path):
    scripts, sound = (
        tmp_path / fillets.GAME / "script/room",
        tmp_path / fillets.GAME / "sound/room/cs",
    )
    scripts.mkdir(parents=True)
    sound.mkdir(parents=True)
    (scripts / "dialogs_cs.lua").write_text(LUA, encoding="utf-8")
    for name in ("let-m-divna", "let-x-ticho", "laser"):
        (sound / f"{name}.ogg").write_bytes(b"")
    clips, dropped, sentences = fillets.read_clips(tmp_path, {"cs": tmp_path}, {"ces": "cs"})
    assert [(c.utt_id, c.speaker, c.group) for c in clips] == [
        ("fillets-small_ces_000000", "fillets-small_ces", "room/let-m-divna")
    ]
    assert count_reasons(dropped) == {"no_transcript": 1, "other_voice": 1}
    assert ("room/let-x-ticho", "ces", "Ticho.") in sentences


def test_fillets_without_scripts_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no dialogs_nl.lua: not fillets-ng-data"):
        fillets.read_dialogues(tmp_path, "nl")


def test_asterisk_signals_are_no_speech(tmp_path):
    root = tmp_path / asterisk.SOUNDS / "it_IT_m_Carlo"
    (root / "silence").mkdir(parents=True)
    for name in ("beep", "goodbye", "silence/1"):
        (root / f"{name}.wav").write_bytes(b"")
    clips, dropped = asterisk.read_clips(tmp_path, "ita")
    assert [clip.path.name for clip in clips] == ["goodbye.wav"]
    assert [row.detail for row in dropped] == ["beep.wav", "silence/1.wav"]
    assert clips[0].text is None


def test_asterisk_without_prompts_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no prompts"):
        asterisk.read_clips(tmp_path, "ita")
