"""Lending protocols: specifications in integers, and kernels in float64 for speed."""
