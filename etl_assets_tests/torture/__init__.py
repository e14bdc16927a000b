"""The torture dataset: 44 cases in which copies of data go wrong, and what becomes of each here."""
