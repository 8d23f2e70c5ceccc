"""What the world does by itself: candles, funding, signals; where they are kept and come from."""
