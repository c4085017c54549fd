"""The typed schema: what an experiment may say, what a plan holds, and the JSON in which a plan is written."""
