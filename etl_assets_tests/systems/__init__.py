"""Tests of the outside systems, on the real ones."""
