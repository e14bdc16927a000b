"""Raw inputs: what a source delivers, and what the ledger of files says of it."""
