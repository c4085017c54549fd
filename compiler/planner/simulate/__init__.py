"""A plan run in time that is not real: events, queues and failures of as many GPUs as it asks for."""
