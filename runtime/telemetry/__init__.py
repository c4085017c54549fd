"""What a run shows while it happens and records for later: metrics, transcripts, charts and views."""
