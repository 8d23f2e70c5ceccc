"""``python -m bench``: every benchmark, one after the other."""

from bench import engine

if __name__ == "__main__":
    engine.main()
