"""The order of the actions of a stage, decided in one place for the runtime, the planner and the simulator."""
