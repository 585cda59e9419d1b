"""What a user does wrong, met as a user meets it: at the command line, with real processes behind it."""
