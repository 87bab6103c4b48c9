"""The probe program: C sources, how they become a static binary, and how its output is read."""
