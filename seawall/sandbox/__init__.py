"""A local exchange that speaks Binance's API over recorded or simulated history.

It listens on loopback, verifies signatures, matches orders against a book made around the bars'
path, and runs on its own clock. Unmodified clients trade on it; nothing in it is real money.
"""
