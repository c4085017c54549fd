"""How quickly sequences are packed."""
