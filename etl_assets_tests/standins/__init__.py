"""Stand-ins for the servers production uses."""
