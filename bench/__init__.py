"""Benchmarks: ratios in one run to what a user would pick instead."""
