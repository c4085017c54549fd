"""Environments: what answers the policy between its turns; one file each, with `begin`."""
