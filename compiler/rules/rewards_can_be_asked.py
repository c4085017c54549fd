"""A reward's settings can be used.

What: patterns are regular expressions and templates are Jinja; the pattern of a judge has a group for the rating, whose
range is not empty; an address begins with http:// or https:// and names a host, without a password in it; tags are
words; the settings of the reward that is named are not switched off; a comparison that looks for a box is given it.
Why it matters: each of these would otherwise fail at the first response, minutes into the run, or at every response and
score all of them alike.
Example: `pattern = "score: [0-9]+"` for a judge, which has no group.
Fix: what the message says about the setting.
Source: REWARD-01; the syntax of Python's `re` and of Jinja.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.reward_settings import PLACED, FormatReward, JudgeReward, MathReward, RegexReward, Service, base_name
from compiler.ir.rollout import Judgement
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0340"
ID = "REWARD-01"

# Texts: a plan that has no such reward loads no `re`.
_ADDRESS = r"(?i)https?://[^\s/?#@]+(?:[/?#]\S*)?"
_FACTS = {"prompt", "response", "label", "metadata"}
_TAG = r"[A-Za-z][\w-]*"


class _Fault(NamedTuple):
    """What is wrong with one setting, which its path names from the reward on."""

    setting: str
    message: str
    note: str
    help: str


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report settings that no response could be judged by."""
    for stage in subject.stages():
        reward = stage.stage.reward
        if isinstance(reward, Off):
            continue
        for at, one in (("reward", reward), *((f"reward.terms.{i}", term) for i, term in enumerate(reward.terms))):
            for fault in (*_unplaced(subject, one), *_faults(one)):
                yield _diagnostic(stage, f"{at}.{fault.setting}", fault)


def _unplaced(subject: Subject, one: Judgement[object]) -> Iterator[_Fault]:
    """A url of a judge that the plan would have to place, and cannot; RLC0548 looks at those that it can."""
    base = base_name(one.name)
    settings = one.__dict__.get(base)
    if not isinstance(settings, Service) or PLACED not in settings.url:
        return
    target = subject.experiment.cluster.target
    if not isinstance(settings, JudgeReward):
        yield _Fault(f"{base}.url", f"{PLACED} is the address of a judge, and {one.name} is none", "whose?", "write it")
    elif not isinstance(subject.experiment.placement, GpuPlacement):
        message = f"target {target} places no judge, and the url asks for its address"
        yield _Fault(f"{base}.url", message, "nobody's", "write the address of a judge that somebody serves")


def _faults(one: Judgement[object]) -> Iterator[_Fault]:
    base = base_name(one.name)
    settings = one.__dict__.get(base)
    if isinstance(settings, Off) and base in type(one).fields():
        yield _Fault(base, f"{one.name} needs its settings", "switched off", "leave it out for its defaults")
    if isinstance(settings, MathReward) and settings.compare == "text" and base != one.name:
        message = f"{one.name} hands over the text of the box, and a comparison of texts looks for the box itself"
        yield _Fault("math.compare", message, "finds no box", "name the reward math, without boxed_")
    if isinstance(settings, RegexReward):
        yield from _pattern_faults(f"{base}.pattern", settings.pattern)
    if isinstance(settings, FormatReward):
        yield from _tag_faults(settings)
    if isinstance(settings, Service) and not _matches(_ADDRESS, settings.url):
        what = "no address" if "@" not in settings.url else "holds a name and a password"
        way = "write http://HOST:PORT/PATH or https://...; a token goes into an environment variable, see token_env"
        yield _Fault(f"{base}.url", f"the url of {one.name} is not one that can be asked", what, way)
    if isinstance(settings, JudgeReward):
        yield from _judge_faults(settings)


def _judge_faults(judge: JudgeReward) -> Iterator[_Fault]:
    faults = list(_pattern_faults("judge.pattern", judge.pattern))
    yield from faults
    if not faults and _num_groups(judge.pattern) == 0:
        message = "the pattern of the judge has no group that would be the rating"
        yield _Fault("judge.pattern", message, "no group", "put the number into parentheses: rating: ([0-9]+)")
    if judge.min_score >= judge.max_score:
        message = f"the judge rates from {judge.min_score:g} to {judge.max_score:g}"
        yield _Fault("judge.max_score", message, "not above min_score", "set max_score above min_score")
    why = _template_fault(judge.template)
    if why:
        way = "the template may use prompt, response, label and metadata"
        yield _Fault("judge.template", f"the template of the judge cannot be used: {why}", "this template", way)


def _template_fault(text: str) -> str:
    """Why a text is no template of the judge, or nothing."""
    from jinja2 import TemplateError, meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        unknown = meta.find_undeclared_variables(ImmutableSandboxedEnvironment().parse(text)) - _FACTS
    except (TemplateError, RecursionError) as error:
        return str(error)
    return f"nothing is called {min(unknown)}" if unknown else ""


def _matches(pattern: str, text: str) -> bool:
    import re

    return re.fullmatch(pattern, text) is not None


def _num_groups(pattern: str) -> int:
    import re

    return re.compile(pattern).groups


def _pattern_faults(setting: str, pattern: str) -> Iterator[_Fault]:
    import re

    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as fault:
        way = "in TOML a pattern is written in single quotes: '...'"
        yield _Fault(setting, f"the pattern is no regular expression: {fault}", "this pattern", way)


def _tag_faults(settings: FormatReward) -> Iterator[_Fault]:
    tags = settings.tags
    wrong = [tag for tag in tags if not _matches(_TAG, tag)]
    if wrong or not tags or len(set(tags)) != len(tags):
        what = f"{wrong[0]!r} is no tag" if wrong else "a tag stands twice" if tags else "no tag"
        yield _Fault(
            "format.tags", f"the tags of format are words, each once: {what}", what, 'such as ["think", "answer"]'
        )


def _diagnostic(stage: StageSubject, path: str, fault: _Fault) -> Diagnostic:
    labels = stage.labels((path, fault.note))
    return Diagnostic(CODE, fault.message, labels, (Help(fault.help),), rule=ID, paths=(stage.path(path),))
