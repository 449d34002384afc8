"""One rank of a job: ``python3 -m espnet2.train.rank '{"entry": "pkg.mod:function", …}'``.

torchrun starts it; the job comes as one JSON argument, as torchrun would read options as its own.
"""

import json
import sys

from espnet2.utils.cli import run_main
from espnet2.utils.processes import die_with_parent
from espnet2.utils.work import load_entry, typed


def main() -> None:
    """Call the job's function with its arguments."""
    die_with_parent()  # before the seconds that importing torch takes
    job = json.loads(sys.argv[1])
    function = load_entry(job["entry"])
    function(**typed(function, job["kwargs"]))


if __name__ == "__main__":
    run_main(main)
