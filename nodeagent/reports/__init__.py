"""What reports of all kinds share: a page in one file, texts made fit to be shown, `--output FORM[=FILE]`."""
