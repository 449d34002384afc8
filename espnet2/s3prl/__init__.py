"""XEUS as an upstream of s3prl.

    from espnet2.s3prl import register

    register()  # before s3prl itself is imported

    import soundfile
    import torch
    from s3prl.nn import Featurizer, S3PRLUpstream

    upstream = S3PRLUpstream("xeus_local", path_or_url="exp/ssl_mini/export").eval()
    featurizer = Featurizer(upstream)  # a learned weighted sum of all layers

    wav, _ = soundfile.read("audio.wav", dtype="float32")  # 16 kHz, mono
    with torch.no_grad():
        layers, lengths = upstream(torch.from_numpy(wav)[None], torch.tensor([len(wav)]))
    feats, lengths = featurizer(layers, lengths)
    print(feats.shape)  # (batch, frames at 50 Hz, width)

Its command lines, with the same name among their upstreams: ``python3 -m espnet2.s3prl --help``.
"""

from espnet2.s3prl.hub import register, xeus_local

__all__ = ["register", "xeus_local"]
