"""Artefacts: texts that follow from the schema or from a plan, one file each.  No emitter knows another one."""
