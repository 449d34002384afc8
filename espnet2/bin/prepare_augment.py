"""Stage 6: banks of noises and of room impulse responses.

Writes DUMP/noise and DUMP/rirs (bank.f32, bank.json, dropped.tsv). Noise is generated, mixed from
training audio (babble), and cut from the recordings of DATA/noise, if that data directory exists,
and of augment.noise_dirs. Rooms come from augment.rir_dirs, or are simulated.

examples:
  python3 -m espnet2.bin.prepare_augment --conf conf/mini.yaml --data data --dump dump
"""

from pathlib import Path
from typing import Any

from espnet2.data.banks.folders import Role, audio_files, files_digest
from espnet2.data.config import BankConfig
from espnet2.data.format.manifest import file_stamp
from espnet2.data.index import index_json
from espnet2.data.kaldi import read_kaldi
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, load_seed, to_dict
from espnet2.utils.files import sha256_text
from espnet2.utils.logs import log
from espnet2.utils.units import Unit, result_of, run_units

BANK_FILES = ("bank.f32", "bank.json", "dropped.tsv")


def main(argv: list[str] | None = None) -> int:
    """Write both banks."""
    parser = step_parser(__doc__)
    parser.add_argument("--dump", type=Path, required=True, metavar="DIR",
                        help="folder of the formatted corpora")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="folder that may hold a data directory noise (default: none)",
                        )  # fmt: skip
    args = parser.parse_args(argv)
    config = from_dict(BankConfig, load_section(args.conf, "augment", args.set), "augment")
    dump, seed = args.dump.absolute(), load_seed(args.conf, args.set)
    given = args.data and (args.data / "noise/wav.scp").is_file()
    recordings = args.data.absolute() / "noise" if given else None
    units = [noise_unit(dump, config, seed, recordings), room_unit(dump, config, seed)]
    status = run_units(units, args)
    if status == 0:
        noise, rooms = map(result_of, units)
        lost = noise["dropped"] + rooms.get("dropped", 0)
        log(f"{noise['noises']} noises, {rooms['rirs']} rooms; dropped: {lost} recordings")
    return status


def noise_unit(dump: Path, config: BankConfig, seed: int, recordings: Path | None) -> Unit:
    """The noise bank; other recordings, or other training audio, redo it."""
    index = dump / "train/index.arrow"
    audio = [f"{u} {file_stamp(u.source)}" for u in read_kaldi(recordings)] if recordings else []
    common = {"config": to_dict(config), "seed": seed}
    return Unit(
        name="augment_noise",
        entry="espnet2.data.banks.noise:write_noise",
        kwargs={**common, "out": dump / "noise", "index_path": index, "recordings": recordings},
        marker=dump / "noise/.bank.done",
        inputs=[index_json(index)] + ([recordings / "wav.scp"] if recordings else []),
        options={
            **common, "audio": sha256_text("\n".join(audio)), **folders(config, "noise"),
        },
        outputs=[dump / "noise" / name for name in BANK_FILES],
    )  # fmt: skip


def room_unit(dump: Path, config: BankConfig, seed: int) -> Unit:
    """The bank of impulse responses: files where there are any, else a simulation."""
    common = {"config": to_dict(config), "seed": seed}
    source = "rirs:write_rirs" if config.rir_dirs else "rooms:write_rooms"
    return Unit(
        name="augment_rirs",
        entry=f"espnet2.data.banks.{source}",
        kwargs={**common, "out": dump / "rirs"},
        marker=dump / "rirs/.bank.done",
        options={**common, **folders(config, "rir")},
        outputs=[dump / "rirs" / name for name in BANK_FILES],
    )


def folders(config: BankConfig, role: Role) -> dict[str, Any]:
    """What the folders of a role hold now, as an option that decides the result."""
    given = config.noise_dirs if role == "noise" else config.rir_dirs
    return {"files": files_digest(list(audio_files(given, role, config.musan_parts)))}


if __name__ == "__main__":
    run_main(main)
