"""Which of a package's candidates this device runs, on how many threads."""
