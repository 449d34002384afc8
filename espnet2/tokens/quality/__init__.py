"""How good labels are.

Alone, counted while they are made (``counts.py``); against a CTM (``ctm.py``, ``purity.py``);
against each other (``agreement.py``); in tables and plots.
"""
