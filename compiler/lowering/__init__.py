"""Value -> Experiment and Provenance: what was written becomes what is meant.  Spans stop here."""
