"""A league: agents x windows x seeds, played in parallel, resumable, and judged against luck."""
