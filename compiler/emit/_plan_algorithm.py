"""The rows of a plan page that say what is optimised: advantages, loss, corrections, distance from the reference."""

from __future__ import annotations

from compiler.emit._plan_reward import code_lines
from compiler.emit._plan_text import Sheet, Values, sentence
from compiler.ir.openness import Off

_OLD_LOGPROBS = {
    "rollout": "old log-probs as the rollout engine sampled",
    "recompute": "old log-probs recomputed by the trainer",
    "current": "old log-probs of the current policy (the ratio is always 1)",
}
_STEPS = {
    "skip": "sampled tokens are steps",
    "between": "every token from the first sampled one to the last is a step",
    "count": "every token after the prompt is a step",
}
_REDUCTIONS = {
    "token": "mean over tokens",
    "sequence": "mean over sequences of their means",
    "constant": "mean over sequences of their sums",
    "sum": "sum over tokens",
}
_BOUNDS = {
    "none": "weights not bounded",
    "truncate": "weights of at most {high}",
    "clip": "weights raised to {low} and lowered to {high}",
    "mask": "tokens left out whose weight is not in [{low}, {high}]",
}
_LEVELS = {
    "token": "of each token",
    "sequence": "of each sequence (product)",
    "geometric": "of each sequence (geometric mean)",
}
_DIVERGENCES = {
    "forward": "KL(teacher || student)",
    "reverse": "KL(student || teacher)",
    "mixed": "KL(teacher || student) + KL(student || teacher)",
}
_OUTSIDE = {"left_out": "both scaled to add up to 1", "zero": "others with a log-prob of -100"}
_KL_WEIGHTS = {"score": "its own ratio", "old": "the ratio to the old policy", "rollout": "the ratio to the engine"}


def write_algorithm(sheet: Sheet, stage: Values) -> None:
    """Add the rows of [algo] and [loss]; paths of `stage` are relative to it."""
    sheet.row("algorithm", *_advantages(stage))
    if stage.has("critic.lr"):
        sheet.row("critic", *_critic(stage))
    sheet.row("loss", *_loss(stage))
    sheet.row("correction", *_correction(stage))
    reference = f"reference model: {stage('reference', _reference(stage.raw('reference')))}"
    if stage.has("loss.kl.coef"):
        sheet.row("KL", sentence(*_kl(stage), reference))
    elif stage.is_on("reference"):
        sheet.row("reference", reference)


def _advantages(stage: Values) -> list[str]:
    name = stage("algo.name")
    if stage.has("algo.teacher_coef"):
        name += f": the teacher's log-probs less the policy's x {stage('algo.teacher_coef')}"
        added = {"none": "rewards do not count", "group": "plus advantages of rewards within each group"}
        name += f", {stage('algo.rewards', added[str(stage.raw('algo.rewards'))])}"
    if stage.is_on("algo.advantages"):
        own = f"advantages by {stage('algo.advantages')}"
        learnt = [f"the critic's returns: {sentence(*_credit(stage))}"] if stage.has("algo.lam") else []
        return [f"{name}: {own}", sentence(*_finish(stage)), *learnt, *code_lines(stage.below("algo"))]
    if stage.has("algo.normalize_std") and not (stage.has("algo.rewards") and stage.raw("algo.rewards") == "none"):
        if stage.raw("algo.normalize_std"):
            divisor = f"the group's standard deviation + {stage('algo.std_eps')}"
            name += f": advantages divided{stage.mark('algo.normalize_std')} by {divisor}"
        else:
            name += f": advantages not divided{stage.mark('algo.normalize_std')} by the group's standard deviation"
    parts: list[str] = []
    if stage.has("algo.baseline") and stage.raw("algo.baseline") != "mean":
        parts.append(f"against the others of its group{stage.mark('algo.baseline')}")
    if stage.has("algo.baseline"):
        parts += _of_one(stage)
    if stage.has("algo.normalize_batch"):
        how = "normalised over the rollout" if stage.raw("algo.normalize_batch") else "not normalised over the rollout"
        parts.append(f"by each reward, the sum {how}{stage.mark('algo.normalize_batch')}")
    if stage.has("algo.group_baseline") and stage.raw("algo.group_baseline"):
        parts.append(f"against the mean of its group{stage.mark('algo.group_baseline')}")
        parts += _of_one(stage)
    elif stage.has("algo.gamma"):
        parts += _credit(stage)
    return [name, sentence(*parts, *_finish(stage))]


def _credit(stage: Values) -> list[str]:
    """How tokens share what follows them."""
    parts = [f"discount {stage('algo.gamma')}"]
    if stage.has("algo.lam"):
        parts.append(f"lambda {stage('algo.lam')}")
        if stage.is_on("algo.length_adaptive"):
            parts.append(f"for the policy 1 - 1 / ({stage('algo.length_adaptive')} x tokens)")
        if stage.is_on("algo.critic_lam"):
            parts.append(f"for the critic {stage('algo.critic_lam')}")
    parts.append(stage("algo.masked_tokens", _STEPS[str(stage.raw("algo.masked_tokens"))]))
    return parts


def _finish(stage: Values) -> list[str]:
    """What is done to all advantages, wherever they come from."""
    parts: list[str] = []
    if stage.has("algo.whiten") and stage.raw("algo.whiten"):
        variance = stage("algo.whiten_variance")
        parts.append(f"whitened{stage.mark('algo.whiten')} over the rollout ({variance} variance)")
    for path, words in (("algo.advantage_low", "at least"), ("algo.advantage_high", "at most")):
        if stage.is_on(path):
            parts.append(f"{words} {stage(path)}")
    return parts


def _of_one(stage: Values) -> list[str]:
    kept = stage.raw("algo.group_of_one") == "reward"
    return [f"alone in its group: its reward{stage.mark('algo.group_of_one')}"] if kept else []


def _critic(stage: Values) -> list[str]:
    clip = f"values clipped within +-{stage('critic.value_clip')}" if stage.is_on("critic.value_clip") else ""
    clip = clip or f"values not clipped{stage.mark('critic.value_clip')}"
    warmup = f"alone for the first {stage.count('critic.warmup_rollouts', 'rollouts')}"
    error = f"squared error x {stage('critic.loss_scale')}"
    if stage.raw("critic.reduction") == "sequence":
        error += f", mean over sequences of their means{stage.mark('critic.reduction')}"
    return [sentence(f"learning rate {stage('critic.lr')}", error, clip, warmup)]


def _divergence(stage: Values) -> list[str]:
    kind = str(stage.raw("loss.divergence"))
    parts = [stage("loss.divergence", _DIVERGENCES[kind])]
    if kind == "mixed":
        parts[0] += f", the first x {stage('loss.forward_weight')}"
    if stage.raw("loss.vocabulary") == "topk":
        topk, there_are = stage.raw("loss.topk"), stage.raw("teacher.vocab_size")
        all_of_them = isinstance(topk, int) and isinstance(there_are, int) and topk > there_are
        most = f"{stage('loss.topk')} most likely tokens{stage.mark('loss.vocabulary')}"
        parts.append(f"over the teacher's {most}" + (f" (all of its {there_are:,})" if all_of_them else ""))
        parts.append(stage("loss.outside_topk", _OUTSIDE[str(stage.raw("loss.outside_topk"))]))
    else:
        parts.append(stage("loss.vocabulary", "over the whole vocabulary"))
    return [*parts, f"logits divided by {stage('loss.temperature')}"]


def _loss(stage: Values) -> list[str]:
    if stage.has("loss.beta"):
        return _preference(stage)
    if stage.has("loss.center_coef"):
        return _scores(stage)
    if not stage.has("loss.reduction"):
        return []
    reduction = str(stage.raw("loss.reduction"))
    parts = _divergence(stage) if stage.has("loss.divergence") else []
    own = stage.is_on("loss.reducer")
    if own:
        parts.append(f"the policy's part weighed by {stage('loss.reducer')}")
    parts.append(stage("loss.reduction", _REDUCTIONS[reduction]))
    if reduction in ("constant", "sum"):
        parts.append(f"divided by {stage.count('loss.constant_tokens', 'tokens')}")
    if reduction in ("sequence", "constant") and stage.raw("loss.empty_sequences") == "skip":
        parts.append(f"empty ones not counted{stage.mark('loss.empty_sequences')}")
    if reduction == "token" and stage.raw("loss.empty_as_token"):
        parts.append(f"an empty sequence counts as a token{stage.mark('loss.empty_as_token')}")
    if stage.has("loss.clip_low"):
        parts.append(f"ratio clipped to [1 - {stage('loss.clip_low')}, 1 + {stage('loss.clip_high')}]")
    if stage.has("loss.gate_positive"):
        parts.append(f"gates of temperature {stage('loss.gate_positive')} and {stage('loss.gate_negative')}")
    for path, words in (
        ("loss.dual_clip", "dual clip"),
        ("loss.max_ratio", "ratio at most"),
        ("loss.log_ratio_clamp", "log-ratio within +-"),
        ("loss.opsm_delta", "off-policy sequences masked beyond"),
    ):
        if stage.is_on(path):
            parts.append(f"{words} {stage(path)}".replace("+- ", "+-"))
    if stage.has("loss.entropy_coef"):
        parts.append(f"entropy bonus x {stage('loss.entropy_coef')}")
        if stage.is_on("loss.positive_nll"):
            right = f"responses of reward {stage('loss.positive_nll.correct_at')} and more"
            parts.append(f"likelihood of {right} x {stage('loss.positive_nll.coef')}")
        parts.append(stage("loss.old_logprobs", _OLD_LOGPROBS[str(stage.raw("loss.old_logprobs"))]))
    return [sentence(*parts), *(code_lines(stage.below("loss")) if own else ())]


def _preference(stage: Values) -> list[str]:
    parts = [f"{stage('loss.kind')} of margins x {stage('loss.beta')}"]
    if stage.raw("loss.kind") == "sigmoid":
        parts.append(f"label smoothing {stage('loss.label_smoothing')}")
    size = "mean" if stage.raw("loss.average_logprobs") else "sum"
    parts.append(f"log-prob of an answer: {size}{stage.mark('loss.average_logprobs')} over its tokens")
    parts.append(f"weight {stage('loss.preference_coef')}")
    likelihood = "mean" if stage.raw("loss.sft_average") else "sum"
    better = f"likelihood of the better answer ({likelihood}{stage.mark('loss.sft_average')})"
    return [sentence(*parts, f"{better} x {stage('loss.sft_coef')}")]


def _scores(stage: Values) -> list[str]:
    if stage.raw("loss.kind") == "regression":
        return [f"squared error of scores{stage.mark('loss.kind')}"]
    pairs = stage("loss.kind", "-log sigmoid of the difference of two scores")
    return [sentence(pairs, f"squared sum of the two x {stage('loss.center_coef')}")]


def _correction(stage: Values) -> list[str]:
    lines: list[str] = []
    if stage.is_on("loss.mismatch.function"):
        lines += [f"weights by {stage('loss.mismatch.function')}", *code_lines(stage.below("loss.mismatch"))]
    if stage.is_on("loss.mismatch.bound"):
        bound, low, high = stage.raw("loss.mismatch.bound"), stage("loss.mismatch.low"), stage("loss.mismatch.high")
        level = stage("loss.mismatch.level", _LEVELS[str(stage.raw("loss.mismatch.level"))])
        text = _BOUNDS[str(bound)].format(low=low, high=high)
        mean = f"divided by their mean{stage.mark('loss.mismatch.normalize')}"
        lines.append(
            sentence(
                f"{text}{stage.mark('loss.mismatch.bound')}", level, mean * bool(stage.raw("loss.mismatch.normalize"))
            )
        )
    parts: list[str] = []
    if stage.is_on("loss.rejection.level"):
        level = stage("loss.rejection.level", _LEVELS[str(stage.raw("loss.rejection.level"))])
        parts.append(f"kept with a weight {level} in [{stage('loss.rejection.low')}, {stage('loss.rejection.high')}]")
    if stage.is_on("loss.rejection.veto_below"):
        parts.append(f"no token below {stage('loss.rejection.veto_below')}")
    if stage.has("loss.rejection.left_out") and stage.raw("loss.rejection.left_out") == "skip":
        parts.append(f"what is left out is masked{stage.mark('loss.rejection.left_out')}")
    if stage.is_on("loss.rejection.max_error"):
        parts.append(f"mean error of at most {stage('loss.rejection.max_error')}")
    return [*lines, sentence(*parts)]


def _kl(stage: Values) -> list[str]:
    if not stage.is_on("loss.kl.estimator"):
        coefficient = f" x {stage('loss.kl.coef')}" if stage.raw("loss.kl.coef") else ""
        return [stage("loss.kl.estimator") + coefficient]
    weight = f"x {stage('loss.kl.coef')}" + (" (monitored only)" if stage.raw("loss.kl.coef") == 0 else "")
    parts = [f"estimator {stage('loss.kl.estimator')} {weight}"]
    if stage.has("loss.kl.place") and stage.raw("loss.kl.place") == "reward":
        parts.append(f"taken off the reward of each token{stage.mark('loss.kl.place')}")
    if stage.raw("loss.kl.weight") != "none":
        parts.append(f"times {stage('loss.kl.weight', _KL_WEIGHTS[str(stage.raw('loss.kl.weight'))])}")
    for path, words in (("loss.kl.input_clamp", "difference"), ("loss.kl.output_clamp", "estimate")):
        if stage.is_on(path):
            parts.append(f"{words} within +-{stage(path)}")
    if stage.is_on("loss.kl.refresh_steps"):
        parts.append(f"reference refreshed every {stage.count('loss.kl.refresh_steps', 'steps')}")
    return parts


def _reference(value: object) -> str:
    return "none" if isinstance(value, Off) else "the weights at the start of this stage"
