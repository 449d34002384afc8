"""A cell whose learning rate is far too high ends in one line, and leaves no model."""

import pytest
from test_finetune import run, tiny_asr, weights

from espnet2.utils.errors import TrainingError

TRAINING = {
    "max_steps": 4, "valid_interval_steps": 4, "save_interval_steps": 4, "num_workers": 0,
    "train_dtype": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_asr.make_cell_data(tmp_path_factory.mktemp("diverging"))


def test_a_cell_that_diverges_names_itself_and_the_way_out(source, tmp_path):
    with pytest.raises(TrainingError, match="cell: no validation had a finite loss: the cell div"):
        run(source, tmp_path / "cell", learning_rate=1e6, training=TRAINING)
    assert not (tmp_path / "cell/model.pth").exists()
    run(source, tmp_path / "cell", learning_rate=1e-3, training=TRAINING)
    assert weights(tmp_path / "cell")["output.bias"].isfinite().all()


def test_a_cell_without_a_step_of_finite_gradient_ends_early(source, tmp_path):
    training = {**TRAINING, "max_steps": 40, "log_interval_steps": 2, "rollback_after": 4}
    with pytest.raises(TrainingError, match="steps in a row had no finite gradient"):
        run(source, tmp_path / "cell", learning_rate=1e6, training=training)
