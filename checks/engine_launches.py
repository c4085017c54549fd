"""The command `python -m checks.engine_launches PLAN.json...`: an installed engine reads what plans hand to it.

Run in an environment that has sglang, its router, vllm or megatron-core: their own parsers read the command lines of
the plans, and Megatron's own records are made of the plans'.  What of them needs a GPU's libraries to be installed is
left out, and named.  Prints a line for each launch, and exits with 1 where an engine refuses one.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from compiler.ir.machine import ConfigRecord, GpuPlacement, RoleLaunch
from compiler.ir.plan import Plan, read_plan
from compiler.ir.processes import filled, processes, words_of
from rlc.catalogue import scan

AT_START = {"address": "127.0.0.1", "first_address": "127.0.0.1", "token": "secret"}
MODULES = {
    "TransformerConfig": "megatron.core.transformer.transformer_config",
    "MLATransformerConfig": "megatron.core.transformer.transformer_config",
    "GPTModel": "megatron.core.models.gpt.gpt_model",
    "DistributedDataParallelConfig": "megatron.core.distributed",
    "OptimizerConfig": "megatron.core.optimizer",
    "OptimizerParamScheduler": "megatron.core.optimizer_param_scheduler",
    "initialize_model_parallel": "megatron.core.parallel_state",
}
_REFUSALS = (ValueError, TypeError, AssertionError, AttributeError, KeyError, ImportError, SystemExit)
DTYPES = (
    "params_dtype",
    "pipeline_dtype",
    "main_params_dtype",
    "main_grads_dtype",
    "exp_avg_dtype",
    "exp_avg_sq_dtype",
)


def main(paths: list[str]) -> int:
    """Check every launch of every plan whose engine is installed; return 1 where one is refused."""
    refused = seen = 0
    readers = {"sglang": _sglang, "sglang_router": _router, "vllm": _vllm, "megatron": _megatron}
    for path in paths:
        plan = read_plan(Path(path).read_text(encoding="utf-8"), name=path, params_of=scan().params_of)
        placement = plan.experiment.placement
        for launch in placement.launches if isinstance(placement, GpuPlacement) else ():
            if launch.engine in readers and find_spec(launch.engine.partition("-")[0]) is not None:
                said = list(_faults(readers[launch.engine], plan, launch))
                seen, refused = seen + 1, refused + bool(said)
                print(f"{path}: {launch.role} {launch.engine}: {'; '.join(said) or 'taken'}")
    print(f"{seen} launches, {refused} refused")
    return int(refused > 0 or not seen)


def _faults(reader: Callable[[Plan, RoleLaunch], Iterator[str]], plan: Plan, launch: RoleLaunch) -> Iterator[str]:
    try:
        yield from reader(plan, launch)
    except _REFUSALS as fault:
        yield f"{type(fault).__name__}: {fault}"


def _command_lines(plan: Plan, launch: RoleLaunch) -> Iterator[list[str]]:
    nodes = {f"node_{node}": f"10.0.{node // 256}.{node % 256}" for node in range(plan.experiment.cluster.nodes)}
    for process in processes(plan.experiment, launch):
        yield [filled(word, {**AT_START, **nodes}) for word in words_of(launch, process)]


def _sglang(plan: Plan, launch: RoleLaunch) -> Iterator[str]:
    arguments = import_module("sglang.srt.server_args").ServerArgs
    for words in _command_lines(plan, launch):
        parser = argparse.ArgumentParser()
        arguments.add_cli_args(parser)
        arguments.from_cli_args(parser.parse_args(words[3:]))
    yield from ()


def _router(plan: Plan, launch: RoleLaunch) -> Iterator[str]:
    """Its own parser reads the line, and has every engine that the plan starts."""
    for words in _command_lines(plan, launch):
        found = import_module("sglang_router.launch_router").parse_router_args(words[3:])
        placement = plan.experiment.placement
        groups = placement.engine_groups() if isinstance(placement, GpuPlacement) else ()
        known = len(found.worker_urls) + len(found.prefill_urls) + len(found.decode_urls)
        wanted = sum(group.engines for group in groups)
        if known != wanted:
            yield f"the router knows {known} engines of {wanted}"


def _vllm(plan: Plan, launch: RoleLaunch) -> Iterator[str]:
    parser = import_module("vllm.utils.argparse_utils").FlexibleArgumentParser(prog="vllm")
    sub = parser.add_subparsers(dest="command")
    cli = import_module("vllm.entrypoints.launchers.cli_args")
    cli.make_arg_parser(sub.add_parser("serve"))
    for words in _command_lines(plan, launch):
        cli.validate_parsed_serve_args(parser.parse_args(words[1:]))
    yield from ()


def _megatron(_: Plan, launch: RoleLaunch) -> Iterator[str]:
    for record in launch.records:
        made = getattr(import_module(MODULES[record.name]), record.name)
        values = dict(_values(record))
        if dataclasses.is_dataclass(made):
            made(**values)
        else:
            unknown = values.keys() - inspect.signature(made).parameters.keys()
            yield from (f"{record.name} has no {name}" for name in sorted(unknown))


def _values(record: ConfigRecord) -> Iterator[tuple[str, Any]]:
    """What a record holds, as Python has it: number formats, enumerations and functions by their names."""
    held: Mapping[str, object] = record.values.__dict__
    for name, value in held.items():
        if name in DTYPES:
            yield name, getattr(import_module("torch"), str(value))
        elif name == "attention_backend":
            yield name, import_module("megatron.core.transformer.enums").AttnBackend[str(value)]
        elif name == "activation_func":
            module, _, function = str(value).rpartition(".")
            yield name, getattr(import_module(module), function)
        else:
            yield name, list(value) if isinstance(value, tuple) else value
    yield from ((name, None) for name in record.nothing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
