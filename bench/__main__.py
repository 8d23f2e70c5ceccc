"""``python -m bench``: every benchmark, one after the other."""

from bench import engine, loan

if __name__ == "__main__":
    engine.main()
    print()
    loan.main()
