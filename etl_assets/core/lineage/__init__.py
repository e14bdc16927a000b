"""Which column is made of which: from the source's tables to those who read the results."""
