"""Stage 6: banks of noises and of room impulse responses.

python3 -m espnet2.bin.prepare_augment --conf conf/mini.yaml --data data --dump dump

Writes DUMP/noise and DUMP/rirs (bank.f32, bank.json). Noise is generated, mixed from training
audio (babble), and cut from the recordings of DATA/noise if that data directory exists.
"""

from pathlib import Path

from espnet2.data.config import BankConfig
from espnet2.data.kaldi import read_kaldi
from espnet2.data.manifest import file_stamp
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, load_seed, to_dict
from espnet2.utils.files import sha256_text
from espnet2.utils.units import Unit, run_units


def main(argv: list[str] | None = None) -> int:
    """Write both banks."""
    parser = step_parser(__doc__)
    parser.add_argument("--dump", type=Path, required=True, help="folder of the formatted corpora")
    parser.add_argument("--data", type=Path, help="folder that may hold a data directory 'noise'")
    args = parser.parse_args(argv)
    config = from_dict(BankConfig, load_section(args.conf, "augment", args.set), "augment")
    dump, seed = args.dump.absolute(), load_seed(args.conf, args.set)
    index = dump / "train/index.arrow"
    given = args.data and (args.data / "noise/wav.scp").is_file()
    recordings = args.data.absolute() / "noise" if given else None
    audio = [f"{u} {file_stamp(u.source)}" for u in read_kaldi(recordings)] if recordings else []
    common = {"config": to_dict(config), "seed": seed}
    noise = Unit(
        name="augment_noise",
        entry="espnet2.data.noise:write_noise",
        kwargs={**common, "out": dump / "noise", "index_path": index, "recordings": recordings},
        marker=dump / "noise/.bank.done",
        inputs=[index] + ([recordings / "wav.scp"] if recordings else []),
        options={**common, "audio": sha256_text("\n".join(audio))},
        outputs=[dump / "noise/bank.f32", dump / "noise/bank.json"],
    )
    rirs = Unit(
        name="augment_rirs",
        entry="espnet2.data.rooms:write_rirs",
        kwargs={**common, "out": dump / "rirs"},
        marker=dump / "rirs/.bank.done",
        options=common,
        outputs=[dump / "rirs/bank.f32", dump / "rirs/bank.json"],
    )
    return run_units([noise, rirs], args)


if __name__ == "__main__":
    run_main(main)
