"""What one stage reads: its training rows as the steps that draw from them, and its held-out prompts.

The data of every stage is read before the first is trained, so that a fault in the last file is reported at the start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Never

from compiler.ir.experiment import Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.data.demonstrations import load_demonstrations
from runtime.data.prompts import load_prompts
from runtime.data.tokenizers import TextTokenizer
from runtime.schedules.sync import PolicySchedule, SupervisedSchedule
from runtime.stage_job import Step
from stdlib.samples import Prompt


class StageData(NamedTuple):
    """The data of a stage.

    `digest` names the content of the training files; `heldout` is empty for a stage that does not evaluate.  Rows that
    are too long, and were dropped or cut, are counted.
    """

    take_step: Step
    num_rows: int
    num_overlong: int
    digest: str
    heldout: Mapping[str, Sequence[Prompt]]
    num_heldout_overlong: int


def load_stage_data(stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, *, root: Path) -> StageData:
    """Read the data of a stage; paths are relative to `root`.  Raises: SpecError with every fault of the files."""
    heldout, num_heldout_overlong = load_heldout(stage, tokenizer, root=root)
    rollout, sources = stage.rollout, stage.data.train
    if isinstance(rollout, Rollout):
        prompts = load_prompts(
            sources,
            tokenizer,
            root=root,
            max_prompt_tokens=rollout.max_prompt_tokens,
            overlong=rollout.overlong_prompts,
        )
        step, rows, num_overlong = PolicySchedule(prompts.prompts).step, len(prompts.prompts), prompts.num_overlong
    else:
        generates = not isinstance(rollout, Off)
        shown = load_demonstrations(
            sources,
            tokenizer,
            root=root,
            max_context_tokens=rollout.max_context_tokens if generates else model.max_position_tokens,
            overlong=rollout.overlong_prompts if generates else "error",
            limit="rollout.max_context_tokens" if generates else "model.max_position_tokens",
        )
        step, rows, num_overlong = SupervisedSchedule(shown.rows).step, len(shown.rows), shown.num_overlong
    digest = _digest([root / source.path for source in sources])
    return StageData(step, rows, num_overlong, digest, heldout, num_heldout_overlong)


def load_heldout(
    stage: Stage[Never], tokenizer: TextTokenizer, *, root: Path
) -> tuple[dict[str, Sequence[Prompt]], int]:
    """Return the prompts of each held-out set by its name, and how many rows were too long and dropped or cut.

    Raises: SpecError with every fault of the files.
    """
    settings, rollout = stage.eval, stage.rollout
    found: dict[str, Sequence[Prompt]] = {}
    num_overlong = 0
    if isinstance(settings, Off) or isinstance(rollout, Off):
        return found, num_overlong
    for measured in settings.sets:
        loaded = load_prompts(
            (measured,),
            tokenizer,
            root=root,
            max_prompt_tokens=rollout.max_prompt_tokens,
            overlong=rollout.overlong_prompts,
        )
        most = None if isinstance(measured.max_prompts, Off) else measured.max_prompts
        found[measured.name] = loaded.prompts[:most]
        num_overlong += loaded.num_overlong
    return found, num_overlong


def _digest(paths: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
