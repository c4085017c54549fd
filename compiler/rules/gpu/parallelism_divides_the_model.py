"""Parallelism divides the model.

What: tensor parallelism divides the query heads, and divides the key and value heads or, where the engine copies heads,
is a multiple of them; pipeline stages (times the groups that they interleave) divide the layers, unless the first and
last stage say how many they have; expert parallelism divides the experts; a rollout engine's GPUs divide the heads
likewise.  With FSDP2, an expert is split over as many GPUs as every other layer.
Why it matters: each of them is an assertion deep in an engine, after the weights have been read.
Example: `parallel.tp = 8` with 20 query heads.
Fix: take a divisor; the message lists the nearest.
Source: PAR-02; Megatron-core's TransformerConfig; SGLang's model loaders; NeMo-RL's DTensor path.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.model import Model
from compiler.ir.openness import Auto, Off
from compiler.ir.subject import Subject
from compiler.planner.splits import heads_split, trainers_copy_heads
from compiler.rules._gpu_layout import Layout, divisors, fix, layout_of, near_divisors, size

CODE = "RLC0507"
ID = "PAR-02"
_TP, _ENGINE = "parallel.tp", "placement.gpus_per_engine"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report axes that do not divide what they split."""
    layout = layout_of(subject)
    if layout is None:
        return
    model = subject.experiment.model
    yield from _heads(subject, _TP, size(layout.parallel.tp), copies=trainers_copy_heads(subject))
    if any(not isinstance(stage.rollout, Off) for stage in subject.experiment.stages):
        yield from _heads(subject, _ENGINE, layout.each, copies=True)
    if layout.parallel.sp is True and size(layout.parallel.tp) == 1:
        yield _diagnostic(
            subject,
            "sequence parallelism goes with tensor parallelism, and there is none",
            (_TP, "one GPU"),
            ("parallel.sp", "splits nothing"),
            (fix("parallel.sp", False),),
        )
    yield from _layers(subject, model, layout)
    yield from _experts(subject, model, layout)


def _heads(subject: Subject, path: str, ways: int, *, copies: bool) -> Iterator[Diagnostic]:
    model = subject.experiment.model
    if heads_split(model, ways, copies=copies):
        return
    fitting = [n for n in divisors(model.num_heads) if heads_split(model, n, copies=copies)]
    near = sorted(sorted(fitting, key=lambda n: (abs(n - ways), n))[:3])
    if model.num_heads % ways:
        yield _diagnostic(
            subject,
            f"{model.num_heads:,} query heads cannot be split over {ways:,} GPUs",
            ("model.num_heads", f"{model.num_heads:,} query heads"),
            (path, "not a divisor"),
            tuple(fix(path, n) for n in near),
        )
    else:
        yield _diagnostic(
            subject,
            f"{model.num_kv_heads:,} key and value heads can neither be split over {ways:,} GPUs nor be copied"
            + (" evenly" if copies else " by this engine"),
            ("model.num_kv_heads", f"{model.num_kv_heads:,} heads"),
            (path, "neither a divisor nor a multiple" if copies else "not a divisor"),
            tuple(fix(path, n) for n in near),
        )


def _layers(subject: Subject, model: Model[Auto], layout: Layout) -> Iterator[Diagnostic]:
    parallel = layout.parallel
    pp, vpp = size(parallel.pp), size(parallel.vpp)
    if vpp > 1 and pp == 1:
        yield _diagnostic(
            subject,
            f"{vpp} groups of layers cannot be interleaved on one pipeline stage",
            ("parallel.pp", "one stage"),
            ("parallel.vpp", "interleaves nothing"),
            (fix("parallel.vpp", 1),),
        )
        return
    ends = [n for n in (parallel.pp_first_layers, parallel.pp_last_layers) if not isinstance(n, Off)]
    written = [f for f in ("parallel.pp_first_layers", "parallel.pp_last_layers") if subject.written(f)]
    if ends and (pp == 1 or sum(ends) > model.num_layers):
        end = written[-1] if written else "parallel.pp_first_layers"
        why = "of a pipeline of one stage" if pp == 1 else f"of {model.num_layers:,} layers"
        yield _diagnostic(
            subject,
            f"{sum(ends):,} layers cannot be the ends {why}",
            (
                "parallel.pp" if pp == 1 else "model.num_layers",
                "one stage" if pp == 1 else f"{model.num_layers:,} layers",
            ),
            (end, "an end that there is not"),
            (fix(end, "off"),),
        )
        return
    between, stages = model.num_layers - sum(ends), pp - len(ends)
    even = between == 0 if stages <= 0 else between > 0 and between % (stages * vpp) == 0
    if even or pp == 1:
        return
    said = f"{model.num_layers:,} layers" + (f", {between:,} between the ends" if ends else "")
    fitting = [n for n in divisors(model.num_layers) if _fills(layout, n)] if not ends and vpp == 1 else []
    ways = [fix("parallel.pp", n) for n in sorted(sorted(fitting, key=lambda n: (abs(n - pp), n))[:2])]
    if not ends and vpp == 1 and pp > 2:
        each = -(-model.num_layers // pp)
        last = model.num_layers - each * (pp - 1)
        if 0 < last < each:
            ways.append(fix("parallel.pp_last_layers", last, "the last stage has the output head as well"))
    yield _diagnostic(
        subject,
        f"{said} cannot be divided among {pp} pipeline stages" + (f" of {vpp} groups each" if vpp > 1 else ""),
        ("model.num_layers", f"{model.num_layers:,} layers"),
        ("parallel.pp", "does not come out even"),
        tuple(ways),
    )


def _fills(layout: Layout, pp: int) -> bool:
    """Whether so many pipeline stages can fill the training GPUs, where their number is known."""
    gpus, tp, cp = layout.placement.train_gpus, size(layout.parallel.tp), size(layout.parallel.cp)
    return not isinstance(gpus, int) or gpus % (tp * cp * pp) == 0


def _experts(subject: Subject, model: Model[Auto], layout: Layout) -> Iterator[Diagnostic]:
    ep = size(layout.parallel.ep)
    if isinstance(model.moe, Off):
        for axis in ("ep", "etp"):
            if size(getattr(layout.parallel, axis)) > 1:
                yield _diagnostic(
                    subject,
                    f"parallel.{axis} splits experts, and the model has none",
                    ("model.name", "no experts"),
                    (f"parallel.{axis}", "splits nothing"),
                    (fix(f"parallel.{axis}", 1),),
                )
        return
    tp, etp = size(layout.parallel.tp), size(layout.parallel.etp)
    if etp != tp and any(stage.train.engine.name == "fsdp2" for stage in subject.experiment.stages):
        yield _diagnostic(
            subject,
            f"FSDP2's trainer cuts experts as it cuts other layers, over {tp:,} GPUs, and not over {etp:,}",
            (_TP, f"every layer over {tp:,} GPUs"),
            ("parallel.etp", f"an expert over {etp:,}"),
            (fix("parallel.etp", tp),),
        )
    if model.moe.num_experts % ep:
        yield _diagnostic(
            subject,
            f"{model.moe.num_experts:,} experts cannot be divided among {ep} GPUs",
            ("model.moe.num_experts", f"{model.moe.num_experts:,} experts"),
            ("parallel.ep", "not a divisor"),
            tuple(fix("parallel.ep", n) for n in near_divisors(model.moe.num_experts, ep)),
        )


def _diagnostic(
    subject: Subject, message: str, fact: tuple[str, str], axis: tuple[str, str], ways: tuple[Help, ...]
) -> Diagnostic:
    return Diagnostic(CODE, message, subject.labels(fact, axis), alternatives(*ways), rule=ID, paths=(fact[0], axis[0]))
