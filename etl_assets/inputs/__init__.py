"""Raw inputs at work: files are read, normalized and loaded, and taken out again."""
