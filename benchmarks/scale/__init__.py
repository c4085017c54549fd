"""What borders between processes, machines and steps cost."""
