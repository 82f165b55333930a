"""Why a selected example matters: duplicates in the test set, subpopulations, neither."""
