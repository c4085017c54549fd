"""The reward that each row of the data names.

Rows of one file often want different judges: a sum, a question with four choices, a program.  The metadata of a row
(`data.train.metadata_key`) says under `reward.row_key` which of `[[reward.terms]]` judges its responses, as `rm_type`
in the metadata of a row does in slime.  A row that names none of them is refused before anything is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stdlib.samples import JsonValue


def named_by(metadata: JsonValue, row_key: str) -> JsonValue:
    """Return what the metadata of a row says under a key, or None."""
    return metadata.get(row_key) if isinstance(metadata, dict) else None
