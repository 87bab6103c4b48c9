"""What claims lead to, and how that grows."""
