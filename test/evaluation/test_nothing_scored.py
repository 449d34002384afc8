"""Stages 12 and 13 where every cell failed."""

from espnet2.bin.score import main
from espnet2.evaluation.report.config import ReportConfig
from espnet2.evaluation.report.stage import write_report
from espnet2.utils.files import read_json, write_json, write_text

RECIPE = """
finetune:
  encoders: {fbank: {kind: fbank}}
  tasks: [multi, joint, lid]
  learning_rates: [0.01]
  training: {max_steps: 100}
"""


def test_where_no_cell_at_all_is_trained_a_report_names_them_and_why(tmp_path):
    for task in ("lid", "multi", "joint"):
        about = {"reason": f"{task}: the loss is nan at step 7"}
        write_json(tmp_path / f"exp/superb/fbank/{task}_10min_lr0.01_seed1/failed.json", about)
    cells = tmp_path / "exp/superb"
    write_text(tmp_path / "recipe.yaml", RECIPE)
    words = ["--conf", tmp_path / "recipe.yaml", "--data", tmp_path / "dump", "--cells", cells]
    words += ["--out", cells / "scores.json", "--log_dir", tmp_path / "log"]
    assert main([str(word) for word in words]) == 3  # the driver writes the report and ends with 1
    summary = read_json(cells / "scores.json")
    assert (summary["rows"], summary["cells"], len(summary["failed"])) == ([], [], 3)
    nowhere = tmp_path / "nothing"
    for is_benchmark in (False, True):
        config = ReportConfig(is_benchmark=is_benchmark)
        write_report("seed: 1\n", tmp_path / "exp", nowhere, nowhere, tmp_path / "out", "x", config)
        markdown = (tmp_path / "out/RESULTS.md").read_text()
        assert "Cells without a score: 3" in markdown
        assert "lid: the loss is nan at step 7" in markdown
        for title in ("Multilingual ASR, 10min", "Language identification, 10min", "Joint ASR"):
            assert title in markdown
        assert "(1 of 1 cells have no score)" in markdown
        assert (tmp_path / "out/report.html").is_file()
