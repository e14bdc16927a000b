"""Feeds at work: read out of the warehouse, written as files, delivered whole or not at all."""
