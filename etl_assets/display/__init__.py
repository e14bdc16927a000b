"""How the command line shows things: tables for people, JSON for programs."""
