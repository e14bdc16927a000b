"""Tests of what the platform knows, without a database or a file."""
