"""The language of rules: its models, its texts and versions, and its way into SQL."""
