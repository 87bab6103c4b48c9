"""The built-in volume types, a file each, with what some of them share."""
