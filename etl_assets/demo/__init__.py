"""The sample: The Complete Journey as source database, registry and rules."""
