"""The engine: backtrader made fast, our feed and brokers, and the compiled twin."""
