"""The end of stage label: every file checked against the index, quality measured, sidecar last."""

from pathlib import Path

from espnet2.data.index import Index
from espnet2.data.labels import SIDECAR, LabelsInfo, check_size, labels_file, write_info
from espnet2.tokens.codebook import Codebook, load_codebook
from espnet2.tokens.quality.counts import Counts, judge, load_counts, save_histograms, summary
from espnet2.tokens.quality.plots import label_page
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance


def finish_labels(
    index: Path, folder: Path, codebook: Path, max_dead_ratio: float, index_sha256: str = ""
) -> dict:
    """Write ``quality.*`` and, if the labels pass, ``labels.json``.

    index_sha256: fingerprint of the index that was labelled, where it may be another one by now.
    Raises:
        DataError: the index has changed, a file does not fit its shard, or too many
            clusters are dead.
    """
    opened, book = Index.open(index), load_codebook(codebook)
    (folder / SIDECAR).unlink(missing_ok=True)
    if index_sha256 and opened.fingerprint != index_sha256:
        raise DataError(f"{index}: changed since the stage began; start the label stage again")
    counts = Counts.empty(book.num_clusters)
    for shard in opened.each_shard():
        path = labels_file(folder, shard.name)
        check_size(path, shard.frames)
        part = load_counts(path)
        if int(part.by_cluster.sum()) != shard.frames:
            raise DataError(f"{path}: its counts are of other labels; delete it and run again")
        counts.merge(part)
    figures = summary(counts)
    write_json(folder / "quality.json", figures)
    save_histograms(folder / "quality_histograms.npz", counts)
    label_page(folder / "quality.png", counts, figures)
    log(
        f"in: {len(opened)} utts / {opened.hours:.2f} h -> out: {len(opened)} utts / "
        f"{opened.hours:.2f} h, {figures['frames']:,} labels; dropped: none; "
        f"{figures['dead_clusters']} of {book.num_clusters} clusters dead, perplexity "
        f"{figures['perplexity']:.1f}, majority {figures['majority_share']:.1%}, mean run "
        f"{figures['mean_run_frames']:.2f} frames"
    )
    judge(figures, max_dead_ratio)
    write_json(folder / "provenance.json", provenance())  # not in the sidecar, which is hashed
    computed = sorted(counts.computed)
    if len(computed) > 1:
        log(f"some shards were labelled on {', some on '.join(computed)}; frames between two "
            "clusters may differ between them")  # fmt: skip
    write_info(folder, info_of(opened, book), teacher=book.teacher, computed=computed)
    return {key: value for key, value in figures.items() if key != "languages"}


def info_of(index: Index, book: Codebook) -> LabelsInfo:
    """The sidecar of labels made with a codebook for an index."""
    return LabelsInfo(
        num_clusters=book.num_clusters,
        teacher=book.teacher["teacher"],
        layer=book.teacher["layer"],
        codebook_sha256=book.sha256,
        index_sha256=index.fingerprint,
    )
