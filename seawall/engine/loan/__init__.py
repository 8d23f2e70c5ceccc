"""A loan in the engine: its world, its broker, its books, and what it leaves."""
