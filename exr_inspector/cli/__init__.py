"""The command line: arguments in, `app` called, results out."""
