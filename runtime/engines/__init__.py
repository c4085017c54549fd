"""What generates and what trains, one folder for each role."""
