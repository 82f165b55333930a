"""Memorization and influence scores, selection and reliability."""
