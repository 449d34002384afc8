"""Stage 9: a run's averaged weights in every form that others read, each read back and compared.

``stage.py`` puts it together; one file writes one form.
"""
