"""Paper trading: the agent that was backtested trades in a sandbox or in a live market's shadow.

``guard`` and what it stands on keep every request away from production; ``journal`` holds what was
intended and what happened; ``client`` is the exchange as a trader must see it: the truth is the
exchange's, and a lost answer is no answer. There is no live mode.
"""
