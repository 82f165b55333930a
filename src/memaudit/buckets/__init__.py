"""Buckets of selected examples: duplicates in the test set, subpopulations, or neither."""
