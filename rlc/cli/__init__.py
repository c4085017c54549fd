"""One small file per verb: parse arguments, call one function, print.  Typer lives only here."""
