"""A rollout engine behind SGLang's own HTTP interface."""
