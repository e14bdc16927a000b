"""What the platform costs: `make bench`. Only ratios within one run mean anything."""
