"""Reductions over segments and over runs of equal keys."""
