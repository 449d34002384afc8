"""From hypotheses to the report: decoding, error rates, SUPERB_s, tables and plots."""
