"""What an evaluation is shown as: a table for people, JSON for programs."""
