"""Histograms, counts, and searches in sorted edges."""
