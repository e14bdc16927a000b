"""Feeds: what is delivered to whom, as one YAML document each, and the fence around its query."""
