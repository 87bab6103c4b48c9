"""A report as one offline page: `write` puts it together of the other files' parts."""
