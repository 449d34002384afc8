"""Stage 13: from scores and logs to RESULTS.md, superb.json and one HTML page.

``stage.py`` puts it together; one file makes one section.
"""
