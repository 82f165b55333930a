"""Why a selected point matters: duplicates in the test set, sub-populations, neither."""
