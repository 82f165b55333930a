"""Memorization Audit: does memorization matter for this dataset?"""

__version__ = "0.1.0"
