"""`until = "eval.heldout.accuracy >= 0.33"`: the measured bound of a stage."""

from __future__ import annotations

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import nearest_names
from compiler.frontend.value import Leaf, Node
from compiler.ir.data import Comparison, Eval, Until
from compiler.ir.evaluated import OF_PAIRS, OF_SCORES, pair_sets, sampled_sets, scored_sets
from compiler.ir.experiment import Stage
from compiler.ir.openness import OFF, Auto, Off
from compiler.lowering.reader import Reader

_OPS: tuple[Comparison, ...] = (">=", "<=", ">", "<")  # the longer first


def read_until(node: Node, stage: Stage[Auto], reader: Reader, path: str) -> Until | Off:
    """Return the bound that a text describes, or OFF after reporting RLC0208."""
    if isinstance(node, Leaf) and node.value == "off":
        return OFF
    found = _parts(node.value) if isinstance(node, Leaf) and isinstance(node.value, str) else None
    if found is None:
        helps = (Help('write until = "eval.heldout.accuracy >= 0.33"'),)
        label = Label(node.span, "expected a metric, a comparison and a number", True)
        reader.pass_over(node)
        reader.report(path, Diagnostic("RLC0208", "this bound cannot be read", (label,), helps))
        return OFF
    metric, op, threshold = found
    known = _metrics(stage)
    of_samples = _of_samples(metric, stage)
    if of_samples is not None:
        known[metric] = of_samples
    if metric not in known:
        near = nearest_names(metric, known) or list(known)[:3]
        meant = f'"{near[0]} {op} {threshold}"' if len(near) == 1 else ""
        helps = tuple(Help(f"did you mean {name}?", replaced=meant) for name in near) or (
            Help("give the stage an [eval] with [[eval.sets]]: a bound is checked when it is evaluated"),
        )
        label = Label(node.span, "measured by nothing in this stage", True)
        reader.report(path, Diagnostic("RLC0208", f"there is no metric {metric}", (label,), helps))
        return OFF
    return Until(metric=known[metric], op=op, threshold=threshold)


def _parts(text: str) -> tuple[str, Comparison, float] | None:
    """The metric, the comparison and the number of a bound."""
    op = next((op for op in _OPS if op in text), None)
    if op is None:
        return None
    metric, number = (side.strip() for side in text.split(op, 1))
    is_metric = metric.replace(".", "_").replace("-", "_").replace("@", "_").isidentifier() and metric[0] not in ".-"
    if not is_metric or number.lstrip("+-")[:1] not in tuple("0123456789."):  # no infinity
        return None
    try:
        return metric, op, float(number)
    except ValueError:
        return None


def _metrics(stage: Stage[Auto]) -> dict[str, str]:
    """What the stage measures: as a bound names it, and as metrics.jsonl does; a set's own name may hold dots."""
    found: dict[str, str] = {}
    for measured in sampled_sets(stage.eval):
        is_greedy = measured.greedy
        if isinstance(is_greedy, Auto) and isinstance(stage.eval, Eval):
            is_greedy = stage.eval.greedy
        for kind in ("accuracy", "greedy") if is_greedy else ("accuracy",):
            found[f"eval.{measured.name}.{kind}"] = f"eval/{measured.name}/{kind}"
    for sets, kinds in ((pair_sets(stage.eval), OF_PAIRS), (scored_sets(stage.eval), OF_SCORES)):
        found |= {f"eval.{s.name}.{kind}": f"eval/{s.name}/{kind}" for s in sets for kind in kinds}
    return found


def _of_samples(metric: str, stage: Stage[Auto]) -> str | None:
    """A metric over several samples, as metrics.jsonl names it; a rule says whether its k is measured (RLC0373)."""
    start, _, kind = metric.rpartition(".")
    name, _, size = kind.partition("@")
    sets = sampled_sets(stage.eval)
    if name not in ("pass", "avg", "cons") or not (size.isascii() and size.isdecimal()) or size[0] == "0":
        return None
    return next((f"eval/{s.name}/{kind}" for s in sets if start == f"eval.{s.name}"), None)
