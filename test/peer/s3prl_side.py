"""s3prl's side of ``test_s3prl_peer.py``: real s3prl, in its own environment.

``python3 -P s3prl_side.py FOLDER`` runs FOLDER/example.py, the lines of the documentation, and
leaves what its upstream and featurizer say of FOLDER/audio.npz (``wav*`` (N,) fp32) in
FOLDER/answers.npz and FOLDER/answers.json.
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence


@torch.no_grad()
def main(folder):
    """Answer for the waves alone and together."""
    example = runpy.run_path(str(folder / "example.py"))
    example["register"]()  # again does no harm
    from s3prl import hub
    from s3prl.upstream.interfaces import Featurizer as OldFeaturizer

    upstream, featurizer = example["upstream"], example["featurizer"]
    arrays = np.load(folder / "audio.npz")
    waves = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    answers = {"example": example["feats"].detach().numpy()}
    for name, wav in waves.items():
        layers, _ = upstream(wav[None], torch.tensor([len(wav)]))
        for i, layer in enumerate(layers):
            answers[f"alone/{name}/{i}"] = layer[0].numpy()
    lengths = torch.tensor([len(wav) for wav in waves.values()])
    layers, frames = upstream(pad_sequence(list(waves.values()), batch_first=True), lengths)
    for b, name in enumerate(waves):
        for i, (layer, count) in enumerate(zip(layers, frames, strict=True)):
            answers[f"together/{name}/{i}"] = layer[b, : count[b]].numpy()
    answers["sum"] = featurizer(layers, frames)[0].numpy()
    answers["stack"] = torch.stack(layers).numpy()
    old = OldFeaturizer(upstream.upstream, upstream_device="cpu")
    answers["old"] = old(list(waves.values()), upstream.upstream(list(waves.values())))[0].numpy()
    np.savez(folder / "answers.npz", **answers)
    facts = {
        "rates": upstream.downsample_rates,
        "sizes": upstream.hidden_sizes,
        "old_rate": old.downsample_rate,
        "is_listed": "xeus_local" in hub.options(),
        "states_in_training": len(upstream.train()(waves["wav0"][None], lengths[:1])[0]),
    }
    (folder / "answers.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
