"""The native rollout engine: continuous batching in plain torch, on CPU, and the oracle for the other engines."""
