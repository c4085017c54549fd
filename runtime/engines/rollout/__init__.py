"""Engines that generate text from the policy."""
