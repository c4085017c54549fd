"""A teacher reads what its student writes.

What: model and teacher have the same vocabulary and the same tokenizer, the teacher's positions reach as far as the
samples do, and `loss.topk` asks for no more tokens than there are.  Whether the files of two tokenizers say the same is
looked at when the run starts (RLC0653).
Why it matters: their distributions are compared token id by token id; where an id means another word, or a row of
logits has another length, the student learns noise or the job dies at its first step.
Example: a model with `vocab_size = 151_936` and a teacher with 152,064 rows.
Fix: a teacher of the same family and release; a checkpoint that pads its vocabulary otherwise has to be cut to size.
Source: DISTILL-01; GKD, arXiv:2306.13649, section 2; NeMo-RL's checks before on-policy distillation.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.algorithm import TaughtParams, Teacher
from compiler.ir.loss import DistillationLoss
from compiler.ir.model import Model, Tokenizer
from compiler.ir.openness import Auto, Off
from compiler.ir.paths import read
from compiler.ir.subject import StageSubject, Subject, toml_literal

CODE = "RLC0345"
ID = "DISTILL-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report teachers of another vocabulary or tokenizer, and those whose positions end too early."""
    model = subject.experiment.model
    for stage in subject.stages():
        params = stage.stage.algorithm
        if isinstance(params, TaughtParams):
            teacher = params.teacher
            if model.vocab_size != teacher.vocab_size:
                yield _other_vocabulary(stage, model, teacher)
            yield from _most_likely(stage, params.loss, teacher)
            yield from _tokenizers(stage, model, teacher)
            yield from _positions(stage, teacher)


def _other_vocabulary(stage: StageSubject, model: Model[Auto], teacher: Teacher[Auto]) -> Diagnostic:
    field = "teacher.vocab_size"
    return Diagnostic(
        CODE,
        f"the teacher tells {teacher.vocab_size:,} tokens apart and the model {model.vocab_size:,}",
        stage.subject.labels(
            ("model.vocab_size", f"{model.vocab_size:,} rows"), (stage.path(field), f"{teacher.vocab_size:,} rows")
        ),
        (Help("take a teacher of the model's own family: rlc models lists those of the library"),),
        rule=ID,
        paths=("model.vocab_size", stage.path(field)),
    )


def _most_likely(stage: StageSubject, loss: object, teacher: Teacher[Auto]) -> Iterator[Diagnostic]:
    """More of the most likely tokens than there are; the default of a small vocabulary is all of it."""
    field, there_are = "loss.topk", teacher.vocab_size
    if not isinstance(loss, DistillationLoss) or loss.vocabulary != "topk" or not stage.written(field):
        return
    if loss.topk > there_are:
        yield Diagnostic(
            CODE,
            f"the teacher's {loss.topk:,} most likely tokens are more than the {there_are:,} that it has",
            stage.labels(("teacher.vocab_size", f"{there_are:,} tokens"), (field, "more than there are")),
            alternatives(stage.fix(field, there_are)),
            rule=ID,
            paths=(stage.path(field),),
        )


def _tokenizers(stage: StageSubject, model: Model[Auto], teacher: Teacher[Auto]) -> Iterator[Diagnostic]:
    for name in ("kind", "alphabet", "name"):
        one, other = (getattr(of.tokenizer, name) for of in (model, teacher))
        is_known = name != "name" or not (isinstance(one, Off) or isinstance(other, Off))
        if one == other or not is_known:
            continue
        field = f"teacher.tokenizer.{name}"
        shown = [repr(one) if isinstance(one, Off) else toml_literal(one)]
        shown.append(repr(other) if isinstance(other, Off) else toml_literal(other))
        labels = stage.subject.labels(
            (f"model.tokenizer.{name}", "what the student writes"), (stage.path(field), "what the teacher reads")
        )
        helps = _same(stage, model.tokenizer, name) or (Help("take a teacher with the model's own tokenizer"),)
        message = f"the teacher's tokenizer is another one: {name} is {shown[1]}, and {shown[0]} for the model"
        paths = (f"model.tokenizer.{name}", stage.path("teacher.tokenizer"), stage.path(field))
        yield Diagnostic(CODE, message, labels, helps, rule=ID, paths=paths)
        return


def _same(stage: StageSubject, tokenizer: Tokenizer, differing: str) -> tuple[Help, ...]:
    """Say of the teacher's tokenizer what [model.tokenizer] says, where that is all there is to a tokenizer."""
    if differing == "name" or tokenizer.kind == "huggingface":
        return ()
    kind = stage.fix("teacher.tokenizer.kind", tokenizer.kind)
    if isinstance(tokenizer.alphabet, Off):
        return (kind,)
    alphabet = stage.fix("teacher.tokenizer.alphabet", tokenizer.alphabet)
    return (Help(f"{kind.text}, and the model's alphabet", (*kind.sets, *alphabet.sets)),)


def _positions(stage: StageSubject, teacher: Teacher[Auto]) -> Iterator[Diagnostic]:
    rollout, field = stage.stage.rollout, "teacher.max_position_tokens"
    if isinstance(rollout, Off) or not isinstance(rollout.max_context_tokens, int):
        return
    longest, most = rollout.max_context_tokens, teacher.max_position_tokens
    if longest > most:
        yield Diagnostic(
            CODE,
            f"samples have up to {longest:,} tokens and the teacher's positions end at {most:,}",
            stage.labels((field, f"{most:,} tokens"), ("rollout.max_context_tokens", f"{longest:,} tokens")),
            _shorter(stage, most),
            rule=ID,
            paths=(stage.path(field), stage.path("rollout.max_context_tokens")),
        )


def _shorter(stage: StageSubject, most: int) -> tuple[Help, ...]:
    """Shorter responses; a context that is written has to follow."""
    prompt = read(stage.stage, "rollout.max_prompt_tokens")
    if not isinstance(prompt, int) or prompt >= most:
        return (Help("take a teacher that was made for longer sequences"),)
    response, context = stage.fix("rollout.max_response_tokens", most - prompt), "rollout.max_context_tokens"
    if stage.written(context):
        whole = stage.fix(context, most)
        response = Help(f"{response.text} and {stage.shown(context)} = {most}", response.sets + whole.sets)
    return (response, Help("or take a teacher that was made for longer sequences"))
