"""The section of one stage on a plan page: what is optimised, on what, how long, and at what cost."""

from __future__ import annotations

from compiler.emit._plan_algorithm import write_algorithm
from compiler.emit._plan_environment import write_environment
from compiler.emit._plan_evaluation import write_evaluation
from compiler.emit._plan_reward import code_lines, write_reward
from compiler.emit._plan_text import Sheet, Values, counted, said, sentence, shown
from compiler.ir.options import Options
from compiler.ir.training import Fsdp2


def write_stage(sheet: Sheet, stage: Values) -> None:
    """Add the rows of a stage; paths of `stage` are relative to it."""
    write_algorithm(sheet, stage)
    _length(sheet, stage)
    _data(sheet, stage)
    _rollout(sheet, stage)
    write_environment(sheet, stage)
    write_reward(sheet, stage)
    _batch(sheet, stage)
    _optimizer(sheet, stage)
    write_evaluation(sheet, stage, _source, _every(stage, "eval.interval") if stage.is_on("eval") else "")
    sheet.row("checkpoint", f"{_every(stage, 'checkpoint.interval')}, at the end of the stage; {_kept(stage)}")
    _debug(sheet, stage)
    seeds = (f"{name} {stage(f'seeds.{name}', str(stage.raw(f'seeds.{name}')))}" for name in _STREAMS)
    sheet.row("seeds", sentence(*seeds))
    _budget(sheet, stage)


_STREAMS = ("data", "sampling", "evaluation", "minibatch")
_ALGORITHMS = {
    "best_fit_decreasing": "by best-fit decreasing",
    "modified_first_fit_decreasing": "by modified first-fit decreasing",
    "first_fit_decreasing": "by first-fit decreasing",
    "first_fit_shuffle": "by first fit in shuffled order",
    "concatenative": "in input order",
}
_BALANCES = {"tokens": "balanced by tokens", "flops": "balanced by FLOPs"}
_MODES = {
    "full": "a step is a rollout and training on it",
    "rollout_only": "a step is its rollout alone, nothing is trained",
    "train_only": "a step is training alone",
}
_ROUTED = {"rollout": "the rollout engine's choice", "trainer": "the pass for old log-probs"}


def _every(table: Values, path: str) -> str:
    return f"every {table.count(path, 'steps')}" if table.is_on(path) else f"at no interval{table.mark(path)}"


def _kept(stage: Values) -> str:
    while_written = "training goes on meanwhile" if stage.raw("checkpoint.asynchronous") else "training waits for it"
    kept = "all are kept"
    if stage.is_on("checkpoint.keep_latest"):
        kept = f"the newest {stage('checkpoint.keep_latest')} are kept"
    if stage.is_on("checkpoint.keep_best") or stage.is_on("checkpoint.best_by"):
        kept += f", and the best {stage('checkpoint.keep_best')} by {stage('checkpoint.best_by')}"
    return sentence(stage("checkpoint.asynchronous", while_written), kept)


def _length(sheet: Sheet, stage: Values) -> None:
    unit = "rollouts" if stage.has("train.steps_per_rollout") else "optimizer steps"
    until = ""
    if stage.is_on("until"):
        bound = " ".join(said(str(stage.raw(f"until.{name}"))) for name in ("metric", "op"))
        until = f"until {bound} {stage('until.threshold')}, at most "
    mode = stage("schedule.mode")
    if stage.raw("schedule.mode") == "one_step_off":
        mode += ", each rollout 1 weight update behind"
    if stage.raw("schedule.mode") == "async":
        mode += f", at most {stage.count('schedule.max_staleness', 'weight updates')} behind"
    sheet.row("length", f"{until}{stage.count('run.max_steps', unit)}, schedule {mode}")


def _data(sheet: Sheet, stage: Values) -> None:
    sources = stage.raw("data.train")
    count = len(sources) if isinstance(sources, tuple) else 0
    tables = [stage.below(f"data.train.{at}") for at in range(count)]
    streams = any(table.raw("streaming") is True or table.is_on("function") for table in tables)
    order = "each epoch in its own order" if stage.raw("data.shuffle") else "in the order of the rows"
    drawn = stage("data.shuffle", order)
    if streams and stage.raw("data.shuffle"):
        drawn = sentence(drawn, f"streams within {stage.count('data.shuffle_window', 'rows')}")
    times = {"at_start": "before anything is trained", "as_read": "when they are drawn"}
    fates = {"error": "malformed rows are an error", "drop": "malformed rows are dropped and counted"}
    judged = stage("data.check", f"rows are judged {times[str(stage.raw('data.check'))]}")
    malformed = stage("data.malformed_rows", fates[str(stage.raw("data.malformed_rows"))])
    is_ahead = streams or stage.raw("data.check") == "as_read"
    ahead = f"{stage.count('data.prefetch', 'steps')} ahead" if is_ahead else ""
    known = "data.expected_sample_tokens"
    length = f"samples expected to have {stage(known)} tokens on average" if stage.is_on(known) else ""
    threads = stage.count("data.workers", "threads")
    sheet.row("data", *map(_source, tables), sentence(drawn, length), sentence(judged, malformed, threads, ahead))


def _source(source: Values) -> str:
    if source.has("chosen_key"):
        keys = f"{source('input_key')} -> {source('chosen_key')} rather than {source('rejected_key')}"
        if source.has("margin_key"):
            keys += f", margin from {source('margin_key')}" if source.is_on("margin_key") else ", without margins"
            keys += "" if source.is_on("margin_key") else source.mark("margin_key")
    elif source.has("score_key"):
        keys = f"{source('input_key')} -> {source('response_key')}, worth {source('score_key')}"
    else:
        keys = f"{source('input_key')} -> {source('label_key')}"
    metadata = f"metadata from {source('metadata_key')}" if source.is_on("metadata_key") else ""
    tools = f"tools from {source('tools_key')}" if source.is_on("tools_key") else ""
    wraps = source.raw("apply_chat_template")
    template = source("apply_chat_template", "chat template for texts too" if wraps else "texts as they are")
    return f"{_place(source)}: {sentence(keys, metadata, tools, template, _learned(source))}"


def _place(source: Values) -> str:
    """Where rows come from, in what form, which of them, and how many of all."""
    names = [source(name) for name in ("path", "hub", "function") if source.is_on(name)]
    parts = [f"{source(one)}" for one in ("subset", "split") if source.is_on(one)]
    parts += [f"revision {source('revision')}"] if source.is_on("revision") else []
    parts += [f"rows {source('rows')}"] if source.is_on("rows") else []
    parts += [f"weight {source('weight')}"] if source.has("weight") and source.is_on("weight") else []
    streams = source.has("streaming") and source.raw("streaming") is True
    parts += [source("streaming", "streaming")] if streams else []
    if source.is_on("code"):
        digest = source("code.sha256", said(str(source.raw("code.sha256")))[:12])
        parts += [f"code {source('code.path')}", f"function {source('code.function')}", f"sha256 {digest}"]
        parts += [f"{source('timeout_s')} s for a row at most"]
    return f"{' '.join(names)} ({sentence(source('format'), *parts)})"


def _learned(source: Values) -> str:
    if not source.has("learn"):
        return ""
    which = {
        "assistant": "every message of the assistant is learned",
        "last": "the last message is learned",
        "marked": f"messages of the assistant whose {said(str(source.raw('mark_key')))} is not 0 are learned",
    }
    return source("learn", which[str(source.raw("learn"))])


def _rollout(sheet: Sheet, stage: Values) -> None:
    if not stage.is_on("rollout"):
        return
    rollout = stage.below("rollout")
    fates = {"error": "an error", "drop": "dropped and counted", "truncate": "cut at the front and counted"}
    overlong = rollout("overlong_prompts", fates[str(rollout.raw("overlong_prompts"))])
    stops, strings = rollout("stop_token_ids"), rollout("stop_strings")
    sheet.row(
        "rollout" if stage.has("train.steps_per_rollout") else "generation",
        f"{_engine(rollout)}, {rollout.count('concurrency', 'sequences')} at once",
        *_own_limits(rollout),
        _speculation(rollout),
        sentence(
            f"prompt up to {rollout('max_prompt_tokens')} tokens (longer ones are {overlong})",
            f"response up to {rollout('max_response_tokens')}",
            f"together up to {rollout('max_context_tokens')}",
            *_expected(rollout),
        ),
        sentence(_sampling(rollout), f"stop tokens beside end of sequence: {stops}, stop strings: {strings}"),
        *_left_out(rollout),
        _own_settings(rollout),
    )


def _expected(rollout: Values) -> list[str]:
    """What is expected of responses, as far as somebody does."""
    said_of = {
        "expected_response_tokens": "expected {} on average",
        "expected_p90_response_tokens": "nine in ten within {}",
    }
    return [text.format(rollout(name)) for name, text in said_of.items() if rollout.is_on(name)]


def _left_out(rollout: Values) -> list[str]:
    """Responses and groups that are not trained on."""
    if not rollout.has("truncated_responses"):
        return []
    masked = rollout.raw("truncated_responses") == "mask"
    cut = "responses that are cut do not count in the loss" if masked else "responses that are cut count in the loss"
    lines = [rollout("truncated_responses", cut)]
    if rollout.is_on("filter"):
        spec = rollout.below("filter")
        fates = {
            "train_fewer": "the step is smaller",
            "keep_filtered": "filtered groups fill the step",
            "stop": "the run ends",
        }
        shortage = spec("on_shortage", fates[str(spec.raw("on_shortage"))])
        is_partial = rollout.is_on("buffer") and rollout.raw("buffer.partial")
        many = "the prompts that the buffer has under way" if is_partial else "the missing prompts at once"
        at_once = f"{spec('oversample')} x {many}"
        is_bounded = spec.raw("name") == "mean_within"
        between = f" {spec('low')} to {spec('high')}" if is_bounded else ""
        refills = f"at most {spec.count('max_refills', 'times')} again"
        lines.append(
            sentence(
                f"groups kept by {spec('name')}{between}", at_once, refills, f"if some are missing then {shortage}"
            )
        )
        lines += _limited_code(spec)
    else:
        lines.append(f"filter of groups: {rollout('filter')}")
    return [*lines, *_buffer(rollout)]


def _limited_code(spec: Values) -> list[str]:
    """Where a filter or a selector of the experiment's own stands, and how long one call may take."""
    return [f"{line}, {spec('timeout_s')} s a call" for line in code_lines(spec)]


def _buffer(rollout: Values) -> list[str]:
    """What is kept from one step to the next."""
    if not rollout.is_on("buffer"):
        return [f"buffer of groups: {rollout('buffer')}"]
    spec = rollout.below("buffer")
    bound = spec.count("max_staleness_steps", "steps") if spec.is_on("max_staleness_steps") else "no bound of age"
    if spec.is_on("max_staleness_steps"):
        bound = f"dropped when older than {bound}"
    by = f" by {spec('stratum_key')}" if spec.raw("selector") == "stratified" and spec.is_on("stratum_key") else ""
    lines = [sentence(f"buffer of groups: taken by {spec('selector')}{by}", bound), *_limited_code(spec)]
    if spec.raw("partial"):
        counts = {"train": "old tokens count in the loss", "mask": "old tokens do not count in the loss"}
        tokens = spec("stale_tokens", counts[str(spec.raw("stale_tokens"))])
        broken = spec("partial", "responses are broken off and go on in the next step")
        lines.append(sentence(broken, f"{spec('oversample')} x the missing prompts under way", tokens))
    else:
        lines.append(spec("partial", "responses are sampled to their end"))
    if spec.is_on("replay"):
        uses = spec.count("replay.max_uses", "steps")
        lines.append(f"replay: {spec('replay.frac')} of a step, each group in at most {uses} again")
    else:
        lines.append(f"replay: {spec('replay')}")
    return lines


def _engine(table: Values) -> str:
    version = f" {table('engine.version')}" if table.is_on("engine.version") else ""
    return f"engine {table('engine.name')}{version}"


def _own_limits(table: Values) -> list[str]:
    """What bounds rlc's own engine, and how it computes."""
    lines: list[str] = []
    parts: list[str] = []
    if table.is_on("engine.cache_tokens"):
        parts.append(f"keys and values of {table.count('engine.cache_tokens', 'tokens')} in memory")
    if table.is_on("engine.prefill_tokens"):
        parts.append(f"prompts are run by {table('engine.prefill_tokens')} tokens between two steps")
    if parts:
        lines.append(sentence(*parts))
    is_exact = bool(table.raw("engine.deterministic"))
    if is_exact or table.raw("engine.name") == "native":
        bits = "are the same whatever else is in the batch" if is_exact else "depend on the batch"
        lines.append(table("engine.deterministic", f"the last bits of a response {bits}"))
    return lines


def _speculation(table: Values) -> str:
    """How many tokens are drafted, and by what."""
    if not table.is_on("speculation"):
        return f"drafts of tokens: {table('speculation')}" if table.raw("engine.name") == "native" else ""
    drafts = table.count("speculation.num_draft_tokens", "tokens")
    return f"{drafts} drafted for each pass, by {table('speculation.method')}; they change no token"


def _own_settings(table: Values) -> str:
    """What is handed to the engine as it is, and the table of an engine that has one of ours."""
    name = str(table.raw("engine.name"))
    given = table.raw(f"engine.{name}") if table.has(f"engine.{name}") else None
    keys = tuple(type(given).fields()) if isinstance(given, Options) else ()
    if isinstance(given, Fsdp2):
        wanted = ((key, field.read_if) for key, field in Fsdp2.fields().items())
        keys = tuple(key for key, on in wanted if on is None or given.__dict__[on[0]] in on[1])
    return f"for {name}: " + sentence(*(f"{key} {table(f'engine.{name}.{key}')}" for key in keys)) if keys else ""


def _sampling(table: Values) -> str:
    names = (("temperature", "temperature"), ("top-p", "top_p"), ("top-k", "top_k"))
    return sentence(*(f"{label} {table(f'sampling.{name}')}" for label, name in names))


def _batch(sheet: Sheet, stage: Values) -> None:
    train = stage.below("train")
    samples = stage.raw("budget.samples")
    if stage.has("rollout.prompts_per_step"):
        prompts, group = stage.raw("rollout.prompts_per_step"), stage.raw("rollout.samples_per_prompt")
        total = prompts * group if isinstance(prompts, int) and isinstance(group, int) else 0
        arithmetic = (
            f"{stage.count('rollout.prompts_per_step', 'prompts')} x "
            f"{stage.count('rollout.samples_per_prompt', 'samples')} = {counted(total, 'samples')} = "
            f"{train('global_batch')} x {train.count('steps_per_rollout', 'optimizer steps')}"
        )
        if train.raw("epochs_per_rollout") != 1:
            arithmetic += f", in each of {train.count('epochs_per_rollout', 'passes')}"
    else:
        steps = counted(stage.raw("optim.total_steps"), "optimizer steps")
        arithmetic = f"{train.count('global_batch', 'samples')} x {steps} = {counted(samples, 'samples')}"
    cut: list[str] = []
    if train.is_on("packing.tokens"):
        cut.append(f"up to {train('packing.tokens')} tokens")
    if train.is_on("micro_batch"):
        cut.append(train.count("micro_batch", "samples"))
    scores = stage.has("loss.center_coef")  # a reward model has one number in the place of logits
    logits = f"logits of {train('vocab_chunk')} vocabulary entries at once"
    by_tokens = f" (by number of samples: {train('micro_batch')})" if not train.is_on("micro_batch") else ""
    sheet.row("batch", arithmetic)
    sheet.row(
        "micro-batch",
        sentence(*cut) + by_tokens,
        _packing(train),
        sentence(f"{_engine(train)}, {train('precision')}", "" if scores else logits),
        _routing(train),
        _further_tokens(train),
        _own_settings(train),
    )


def _packing(train: Values) -> str:
    """How sequences share a micro-batch, and how long it is."""
    multiple = train.raw("packing.pad_multiple")
    padding = "no padding" if multiple == 1 else f"padded to a multiple of {counted(multiple, 'tokens')}"
    padding = train("packing.pad_multiple", padding)
    if not train.is_on("packing.tokens"):
        return padding
    algorithm = train("packing.algorithm", _ALGORITHMS[str(train.raw("packing.algorithm"))])
    balance = _named(_BALANCES, train.raw("packing.balance")) if train.is_on("packing.balance") else "not balanced"
    cost = ""
    if train.is_on("packing.flops"):
        token, pair = train("packing.flops.per_token"), train("packing.flops.per_pair")
        cost = f"n tokens of a sequence take {token} n + {pair} n x n"
    return sentence(f"packed {algorithm}", train("packing.balance", balance), cost, padding)


def _routing(train: Values) -> str:
    """What becomes of the choices of routers, where a stage says it."""
    if not train.has("routing_replay") or not train.is_on("routing_replay"):
        return ""
    return f"tokens visit the experts of {train('routing_replay', _named(_ROUTED, train.raw('routing_replay')))}"


def _further_tokens(train: Values) -> str:
    """What the layers that predict further tokens learn, where they do."""
    if not train.is_on("mtp"):
        return ""
    reached = "reaches the model, too" if train.raw("mtp.trains_trunk") else "leaves the model as it is"
    return f"loss of further tokens x {train('mtp.loss_coef')}, which {train('mtp.trains_trunk', reached)}"


def _optimizer(sheet: Sheet, stage: Values) -> None:
    optim = stage.below("optim")
    own: list[str] = []
    if optim.raw("name") == "adamw":
        own = [f"beta1 {optim('beta1')}", f"beta2 {optim('beta2')}", f"eps {optim('eps')}"]
    elif optim.raw("name") == "sgd":
        own = [f"momentum {optim('momentum')}"]
    norm = f"gradient norm clipped at {optim('clip_grad_norm')}"
    if not optim.is_on("clip_grad_norm"):
        norm = f"gradient norm clipping {optim('clip_grad_norm')}"
    decay = f"weight decay {optim('weight_decay')}"
    sheet.row("optimizer", f"{optim('name')}: {sentence(*own, decay, norm)}")
    sheet.row("learning rate", _learning_rate(optim))


def _debug(sheet: Sheet, stage: Values) -> None:
    """What a step consists of, and what is said when engine and trainer disagree."""
    if not stage.is_on("debug"):
        return
    debug = stage.below("debug")
    parts = [debug("mode", _named(_MODES, debug.raw("mode")))]
    if debug.raw("mode") == "train_only":
        parts.append(f"on the recording {debug('replay')}")
    else:
        parts.append(debug("record", "rollouts are recorded" if debug.raw("record") else "rollouts are not recorded"))
    updates = {"first": "the first weight update", "every": "every weight update"}
    parts.append(debug("verify_sync", f"weights are compared after {_named(updates, debug.raw('verify_sync'))}"))
    alarm = ""
    if debug.is_on("logprob_gap"):
        gap = debug.below("logprob_gap")
        ends = {"warn": "is warned of", "stop": "ends the run"}
        alarm = sentence(
            f"a gap of log-probs above {gap.count('mean_bound', 'nats')} in {gap.count('steps', 'steps')} in a row "
            + gap("action", _named(ends, gap.raw("action"))),
            f"tokens count as beyond {gap.count('token_bound', 'nats')}",
        )
    elif debug.raw("mode") != "rollout_only":
        alarm = f"alarm of log-probs {debug('logprob_gap')}"
    sheet.row("debug", sentence(*parts), alarm)


def _learning_rate(optim: Values) -> str:
    """The curve in the order in which it is run through."""
    warmup, horizon = optim.raw("warmup_steps"), optim.count("total_steps", "optimizer steps")
    rise = f"0 -> {optim('lr')} over {optim('warmup_steps')} steps, then " if warmup else f"{optim('lr')}, "
    no_rise = "" if warmup else f", warm-up {optim('warmup_steps')} steps"
    if optim.raw("schedule") == "constant":
        return f"{rise}{optim('schedule')} to the horizon of {horizon}{no_rise}"
    return f"{rise}{optim('schedule')} decay to {optim('min_lr')} at the horizon of {horizon}{no_rise}"


def _budget(sheet: Sheet, stage: Values) -> None:
    budget = stage.below("budget")
    rollouts = budget.count("rollouts", "rollouts") if budget.raw("rollouts") else ""
    steps = budget.count("optimizer_steps", "optimizer steps")
    samples = f"{budget.count('samples', 'samples')} trained on"
    tokens = ""
    if budget.raw("max_sampled_tokens"):
        factors = ""
        if stage.has("rollout.prompts_per_step"):
            longest, most = stage.raw("rollout.max_response_tokens"), budget.raw("max_sampled_tokens")
            if isinstance(longest, int) and isinstance(most, int):
                factors = f" = {counted(most // longest, 'responses')} x {longest:,}"
        tokens = f"at most {budget.count('max_sampled_tokens', 'tokens')} sampled{factors}"
    early = " (or fewer: the stage may end early)" if stage.is_on("until") else ""
    epochs = "epochs: unknown, since planning reads no data"
    sheet.row("budget", sentence(rollouts, steps, samples) + early, tokens, epochs)


def _named(words: dict[str, str], value: object) -> str:
    return words.get(str(value)) or shown(value)
