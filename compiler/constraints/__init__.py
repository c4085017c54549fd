"""Expressions over resolved fields: references (`${...}`), requirements, and an organisation's policy.

Loaded only where a spec, a recipe or a policy holds one.
"""
