"""Our figures held against those of other projects' own functions: `./do peers`."""
