"""``python -m bench``: every benchmark, one after the other."""

from bench import engine, loan, perpetual, remote, sandbox

if __name__ == "__main__":
    for part in (engine, perpetual, loan, sandbox, remote):
        part.main()
        print()
