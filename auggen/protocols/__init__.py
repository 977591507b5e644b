"""Benchmark protocols on held-out people, and the comparison of real against mixed."""
