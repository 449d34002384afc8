"""A worker process: answers requests with the methods of one side.

Run by path, as ``python3 -P answer.py SIDE.py``, under whichever interpreter: it uses the standard
library only, and loads class ``Side`` from the file it is given. A request is a line of JSON on
stdin, {"do": NAME, ...}, where NAME is a method of ``Side`` and the rest its arguments; the answer
is a line of JSON on stdout.
"""

import json
import os
import runpy
import sys


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print goes to stderr
    side = runpy.run_path(sys.argv[1], run_name="side")["Side"]()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(side, request.pop("do"))(**request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
