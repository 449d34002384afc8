"""Published ML-SUPERB rows, and the two facts that turn rows into SUPERB_s.

Sources: the first seven rows and all scores are table values of the XEUS paper (arXiv 2407.00837);
mHuBERT-147 is arXiv 2406.06371 (third iteration), WavLabLM-MS belongs to arXiv 2309.15317. Error
rates (``*_cer``, ``*_few_shot``) and accuracies (``*_lid``) are percentages with one decimal.
"""

METRICS = (
    "mono_cer",
    "multi_cer",
    "multi_few_shot",
    "lid_lid",
    "joint_lid",
    "joint_cer",
    "joint_few_shot",
)
"""The seven numbers of a row, in the order of the paper's table, as ``<task>_<metric>``."""

TASKS = {
    "mono": ("mono_cer",),
    "multi": ("multi_cer", "multi_few_shot"),
    "lid": ("lid_lid",),
    "joint": ("joint_lid", "joint_cer", "joint_few_shot"),
}
"""Tasks weigh the same in SUPERB_s, and so do the metrics inside a task."""

TRACKS = ("10min", "1h")

BASE = "FBANK"
"""The row that scores 0."""

PAPER_SET = (
    "FBANK",
    "XLS-R 300M",
    "XLS-R 1B",
    "MMS 300M",
    "MMS 1B",
    "w2v-BERT 2.0 v2",
    "XEUS",
)
"""The set whose best value of each metric scores 1000 in the XEUS paper."""

SETS = {
    "XEUS paper": PAPER_SET,
    "XEUS paper and mHuBERT-147": (*PAPER_SET, "mHuBERT-147 it3"),
}
"""Sets by the name that stands beside a score. The second one came to light after the paper: in it
XEUS has 954.8 (10min) and 947.1 (1h)."""

ROWS = {
    "FBANK": {
        "10min": (72.1, 62.4, 58.3, 11.1, 35.9, 62.0, 58.9),
        "1h": (63.7, 59.3, 57.4, 9.3, 43.5, 58.6, 58.1),
    },
    "XLS-R 300M": {
        "10min": (39.7, 29.3, 40.9, 66.9, 55.6, 28.4, 42.1),
        "1h": (30.6, 22.0, 39.3, 87.9, 85.6, 22.9, 42.4),
    },
    "XLS-R 1B": {
        "10min": (40.5, 30.4, 39.1, 70.9, 66.4, 28.6, 39.2),
        "1h": (30.9, 26.3, 38.5, 85.8, 87.1, 25.2, 39.5),
    },
    "MMS 300M": {
        "10min": (33.8, 28.7, 36.5, 62.3, 71.9, 31.5, 30.9),
        "1h": (30.5, 24.0, 36.5, 84.3, 74.3, 30.0, 29.2),
    },
    "MMS 1B": {
        "10min": (33.3, 21.3, 30.2, 84.8, 73.3, 26.0, 25.4),
        "1h": (25.7, 18.1, 30.8, 86.1, 74.8, 25.5, 24.8),
    },
    "w2v-BERT 2.0 v2": {
        "10min": (41.0, 24.6, 34.3, 70.0, 83.2, 24.2, 34.3),
        "1h": (29.2, 20.3, 35.3, 86.8, 90.6, 20.3, 34.0),
    },
    "XEUS": {
        "10min": (30.3, 21.1, 33.4, 81.5, 86.4, 22.9, 32.7),
        "1h": (25.1, 20.1, 34.1, 87.3, 91.3, 19.6, 32.8),
    },
    "mHuBERT-147 it3": {
        "10min": (34.2, 23.6, 33.2, 85.3, 81.4, 26.2, 34.9),
        "1h": (26.3, 22.0, 32.9, 91.0, 90.0, 22.1, 33.5),
    },
    "WavLabLM-MS": {
        "10min": (40.5, 37.8, 43.8, 71.7, 70.8, 37.0, 43.4),
        "1h": (32.8, 31.9, 42.8, 81.1, 80.0, 32.2, 41.2),
    },
}

PUBLISHED_SCORES = {
    "FBANK": (0, 0),
    "XLS-R 300M": (707, 851),
    "XLS-R 1B": (745, 838),
    "MMS 300M": (795, 845),
    "MMS 1B": (953, 948),
    "w2v-BERT 2.0 v2": (826, 916),
    "XEUS": (956, 956),
}
"""SUPERB_s as printed (10min, 1h). The paper scored unrounded numbers, so a score recomputed from
the table's one decimal can fall on the other side of an integer."""


def row(model: str, track: str) -> dict[str, float]:
    """One published row by metric name."""
    return dict(zip(METRICS, ROWS[model][track], strict=True))
