"""Stage 10 on data of any kind, for the tests of it."""

from espnet2.bin import superb_data

CONF = "finetune: {{encoders: {{fbank: {{kind: fbank}}}}, training: {{max_steps: 1}}, {more}}}"


def stage_10(root, out, data, more="tracks: [full]"):
    conf = out.parent / "conf.yaml"
    conf.write_text(CONF.format(more=f"{more}, data: {{{data}}}"))
    return superb_data.main(
        ["--conf", str(conf), "--root", str(root), "--out", str(out),
         "--log_dir", str(out.parent / "log")]
    )  # fmt: skip


def reasons(rows):
    return {row.utt_id: row.reason for row in rows}
