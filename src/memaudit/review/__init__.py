"""The review page: one HTML file for the manual annotation of duplicates and subpopulations."""
