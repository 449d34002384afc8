r"""Run a program of s3prl's with xeus_local among its upstreams; the options are s3prl's.

    python3 -m espnet2.s3prl PROBLEM ...         as s3prl-main: SuperbKS, SuperbSID, SuperbASR, ...
    python3 -m espnet2.s3prl run_downstream ...  as its run_downstream.py

examples:
  python3 -m espnet2.s3prl SuperbKS --target_dir exp/ks --prepare_data.gsc1 speech_commands \
      --prepare_data.gsc1_test speech_commands_test --build_upstream.name xeus_local \
      --build_upstream.path_or_url exp/ssl_mini/export
  python3 -m espnet2.s3prl run_downstream -m train -d fluent_commands -c config.yaml -p exp/ic \
      -u xeus_local -k exp/ssl_mini/export
"""

from __future__ import annotations

import sys
from argparse import Namespace

import torch

from espnet2.s3prl.hub import register
from espnet2.utils.cli import run_main


def main() -> None:
    """Run what the first argument names.

    Raises ConfigError where s3prl cannot be imported.
    """
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(f"usage: python3 -m espnet2.s3prl PROBLEM|run_downstream ...\n\n{__doc__}", end="")
        return
    register()
    if sys.argv[1] == "run_downstream":
        from s3prl.run_downstream import main as run

        # Its checkpoints hold the arguments, which torch.load refuses since 2.6.
        torch.serialization.add_safe_globals([Namespace])
        del sys.argv[1]
    else:
        from s3prl.main import main as run
    run()


if __name__ == "__main__":
    run_main(main)
