"""What an editor is told about a spec while it is being written: the language server, behind `rlc lsp`."""
