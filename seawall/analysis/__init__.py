"""What a result means: statistics, comparison, report."""
