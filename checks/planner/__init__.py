"""The planner's forecasts held against what others measured: `python -m checks.planner`."""
