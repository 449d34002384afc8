"""Stage 2: a Kaldi directory becomes 16 kHz mono FLAC shards and an index.

Steps: share the utterances out by seconds of audio (``manifest.py``); decode, cut at pauses where
asked (``vad.py``), check and store each shard on its own (``shard_writer.py``); join the shards'
indexes, dropping exact duplicates (``merge.py``). The set of shards depends on the data and on
``shard_hours`` only.
"""
