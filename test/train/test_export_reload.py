"""What exported files are compared on, and when they count as the model."""

import pytest
import torch
from tiny_dump import make_dump

from espnet2.data.index import Index, write_index
from espnet2.train.export.reload import check_utterance, largest_difference


@pytest.mark.parametrize("layer", [0, 1])
def test_what_is_not_a_number_in_any_layer_is_no_small_difference(layer):
    ours = [torch.zeros(1, 3, 2), torch.ones(1, 3, 2)]
    theirs = [tensor.clone() for tensor in ours]
    assert largest_difference(ours, theirs) == 0
    theirs[layer][0, 1, 1] = torch.nan
    assert not largest_difference(ours, theirs) <= 1e-6


def test_where_nothing_is_held_out_the_export_is_compared_on_training_data(tmp_path):
    dump = make_dump(tmp_path / "dump")
    index = Index.open(dump / "train")
    write_index(tmp_path / "train/index.arrow", index.table)
    write_index(tmp_path / "valid/index.arrow", index.table.slice(0, 0))
    for shard in {shard.split("/")[0] for shard in index.shards.names}:
        (tmp_path / shard).symlink_to(dump / shard)
    utt_id, speech = check_utterance(tmp_path)
    assert utt_id == index.utt_ids[0]
    assert speech.shape == (1, min(index.num_samples[0], 160_000))
