"""The tests, in the order of the package: core, systems, then what stands on them."""
