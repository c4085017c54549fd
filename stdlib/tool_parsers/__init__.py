"""How models write calls of tools: one file for each format, with `parse(text, tools)`."""
