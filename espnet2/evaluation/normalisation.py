"""Names of the text forms that error rates are of."""

ML_SUPERB = "ml_superb"
"""Text as stage 10 wrote it: no brackets, no ASCII punctuation, upper case; spaces count."""

ML_SUPERB_2 = "ml_superb2"
"""No character of any Unicode punctuation category, upper case, no spaces for cmn, jpn, tha, yue
(``superb2.normalise``)."""

NORMALISATION = (
    f"cer_* {ML_SUPERB} (no brackets, no ASCII punctuation, upper case); superb2_*, worst15_cer, "
    f"cer_language_sd, dialect_* {ML_SUPERB_2} (no Unicode punctuation, upper case, no spaces for "
    "cmn, jpn, tha, yue)"
)
"""What score.json, scores.json and the report say beside the figures."""
