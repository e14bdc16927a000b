"""What made a cell: a load followed back to its source."""
