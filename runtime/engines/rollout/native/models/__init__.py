"""Forward passes of the native engine, one file for each model family."""
