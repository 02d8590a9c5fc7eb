"""Scans (prefix sums) in one pass, and differences."""
