r"""Stage 10: ML-SUPERB, ML-SUPERB 2.0 or Kaldi directories as the sets of the benchmark.

finetune.data.kind says what ROOT holds. Writes
OUT/<track>/<split>/{wav.scp,text,utt2lang,utt2corpus,utt2dur,utt2spk,spk2utt} for the splits
train, dev and test, of ML-SUPERB 2.0 also test_dialect, of Kaldi directories also those named in
finetune.data.tests; dropped.tsv beside them, OUT/languages.json and OUT/corpora.json. For task mono
utterances of Japanese and Mandarin have their phones in text_phones where their libraries are
installed (pip install 'xeus[phones]'); OUT/phones.json names these languages. One unit is one
language, one Parquet file or one directory.

For each name in finetune.corrupted also OUT/<track>/<name>, the test split in noise and in rooms:
the same ids and texts, audio in arks of FLAC, conditions.tsv (noise, SNR, room and T60 of each
utterance). Its noises and rooms are in OUT/banks/<name>. One unit is some thousand utterances.

examples:
  python3 -m espnet2.bin.superb_data --conf conf/mini.yaml --root downloads/ml_superb \
      --out dump/superb
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from espnet2.data.banks.folders import audio_files, files_digest
from espnet2.data.config import BankConfig
from espnet2.data.kaldi import audio_listing, audio_tables, count_utterances
from espnet2.data.phones import TEXT_PHONES
from espnet2.data.superb import CorruptConfig
from espnet2.data.superb_units import combine_unit, part_units
from espnet2.train.cells import FinetuneConfig, finetune_config
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.units import Unit, run_units

UTTERANCES_A_UNIT = 4096
TABLES = ("wav.scp", "text", "utt2lang", "utt2corpus", "utt2spk", "utt2dur")


def main(argv: list[str] | None = None) -> int:
    """Read every language, join them, then make the corrupted tests."""
    parser = step_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR",
                        help="folder of the benchmark's data")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="folder to write: Kaldi directories")  # fmt: skip
    args = parser.parse_args(argv)
    config = finetune_config(load_section(args.conf, "finetune", args.set), str(args.conf))
    training = from_dict(BankConfig, load_section(args.conf, "augment", args.set), "augment")
    for name, corrupt in config.corrupted.items():
        check_held_out(name, corrupt.banks, training)
    root, args.out = args.root.resolve(), args.out.absolute()
    parts = part_units(root, config.tracks, config.data, args.out)
    status = run_units(list(parts.values()), args) or run_units(
        [combine_unit(root, parts, config.data, args.out, "mono" in config.tasks)], args
    )
    return status or corrupt_tests(config, args)


def check_held_out(name: str, banks: BankConfig, training: BankConfig) -> None:
    """Refuse folders of recordings that training draws from, or that lie in one or hold one.

    Raises:
        ConfigError: names both.
    """
    for key in ("noise_dirs", "rir_dirs"):
        for ours in getattr(banks, key):
            for theirs in getattr(training, key):
                a, b = Path(ours).resolve(), Path(theirs).resolve()
                if a.is_relative_to(b) or b.is_relative_to(a):
                    raise ConfigError(
                        f"finetune.corrupted.{name}.banks.{key}: {ours} is what training is "
                        f"augmented with (augment.{key}: {theirs}); give recordings held out"
                    )


def corrupt_tests(config: FinetuneConfig, args: Namespace) -> int:
    """The corrupted tests: their banks, then the audio, then the Kaldi directories."""
    tests = config.corrupted
    if not tests:
        return 0
    talkers = args.out / config.tracks[0] / "dev"
    status = run_units([banks_unit(name, talkers, tests[name], args) for name in tests], args)
    if status:
        return status
    sets = [(name, track) for name in tests for track in config.tracks]
    parts = {pair: list(noisy_units(*pair, tests[pair[0]], args)) for pair in sets}
    return run_units([unit for pair in sets for unit in parts[pair]], args) or run_units(
        [join_unit(*pair, parts[pair], args) for pair in sets], args
    )


def banks_unit(name: str, talkers: Path, config: CorruptConfig, args: Namespace) -> Unit:
    """The unit that writes the noises and rooms of a corrupted test."""
    out, banks = args.out / "banks" / name, config.banks
    files = {
        role: files_digest(list(audio_files(folders, role, banks.musan_parts)))
        for role, folders in (("noise", banks.noise_dirs), ("rir", banks.rir_dirs))
    }
    return Unit(
        name=f"superb_banks_{name}",
        entry="espnet2.data.corrupt:write_banks",
        kwargs={"talkers": talkers, "config": to_dict(config), "out": out},
        marker=out / ".banks.done",
        inputs=audio_tables(talkers),
        options={"config": to_dict(config), "files": files, "audio": audio_listing(talkers)},
        outputs=[out / "noise/bank.json", out / "rirs/bank.json"],
    )


def noisy_units(name: str, track: str, config: CorruptConfig, args: Namespace) -> Iterator[Unit]:
    """The units that write the audio of a corrupted test."""
    data, banks = args.out / track / "test", args.out / "banks" / name
    count, audio = count_utterances(data), audio_listing(data)
    for number, first in enumerate(range(0, count, UTTERANCES_A_UNIT)):
        span = {"first": first, "last": min(first + UTTERANCES_A_UNIT, count)}
        ark = args.out / track / name / "audio" / f"{number:03d}.ark"
        yield Unit(
            name=f"superb_{track}_{name}_{number:03d}",
            entry="espnet2.data.corrupt:corrupt_part",
            kwargs={"data": data, **span, "config": to_dict(config), "banks": banks, "out": ark},
            marker=ark.with_name(f".{ark.stem}.done"),
            inputs=[*audio_tables(data), banks / "noise/bank.json", banks / "rirs/bank.json"],
            options={**span, "config": to_dict(config), "audio": audio},
            outputs=[ark, ark.with_suffix(".tsv"), ark.with_suffix(".dropped.tsv")],
        )


def join_unit(name: str, track: str, parts: list[Unit], args: Namespace) -> Unit:
    """The unit that makes a Kaldi directory of a corrupted test."""
    data, out, banks = args.out / track / "test", args.out / track / name, args.out / "banks" / name
    return Unit(
        name=f"superb_{track}_{name}",
        entry="espnet2.data.corrupt:join",
        kwargs={"data": data, "parts": [unit.outputs[0] for unit in parts], "banks": banks,
                "out": out},
        marker=out / ".test.done",
        inputs=[
            *audio_tables(data), *(data / table for table in TABLES[1:]),
            *(unit.outputs[1] for unit in parts),
            *([data / TEXT_PHONES] if (data / TEXT_PHONES).is_file() else []),
            banks / "noise/bank.json", banks / "rirs/bank.json",
        ],
        options={"parts": [str(unit.outputs[0]) for unit in parts]},
        outputs=[*(out / table for table in TABLES), out / "conditions.json"],
    )  # fmt: skip


if __name__ == "__main__":
    run_main(main)
