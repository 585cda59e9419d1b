"""What ``skerry edge check`` looks at, one file per check."""
