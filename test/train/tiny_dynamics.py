"""A tiny run with checkpoints of two steps apart, and the command on it."""

from tiny_dump import MODEL, TAG, write_recipe

from espnet2.bin.training_dynamics import main
from espnet2.train.pretrain import pretrain
from espnet2.utils.files import read_json

BLOCKS = 2


def train(dump, exp, max_steps):
    encoder = {**MODEL["encoder_conf"], "num_blocks": BLOCKS}
    recipe = write_recipe(exp.parent / f"{exp.name}.yaml", encoder_conf=encoder,
                          max_steps=max_steps)  # fmt: skip
    pretrain(recipe, [], dump, TAG, exp, 0)
    return exp


def arguments(exp, dump, out, *more):
    return [str(exp), "--dump", str(dump), "--labels_tag", TAG, "--out", str(out), *more]


def study(exp, dump, out, *more):
    assert main(arguments(exp, dump, out, *more)) == 0
    return read_json(out / "dynamics.json")
