"""Figures that other estimators computed: Megatron's theoretical_memory_usage.py and ModelZoo's DeepSeek tool.

Megatron's script counts the most loaded rank, which has an embedding and a head where there is one stage, and the first
stage otherwise; its activations are those of a network with dropout and with one formula for all feed-forwards, so
only weights and optimizer state are compared.  Its parameters are of a padded vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.planner.comparison import Cells, Comparison, number
from checks.planner.library import Library
from compiler.planner.memory.activations import Pass, Tokens, layer_kept
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.lines import GIB, MIB, total
from compiler.planner.memory.network import Network, last_layer
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Storage, stage_parameters, static_lines


def compare_megatron(library: Library, row: Cells) -> Iterator[Comparison[Constants]]:
    """Yield parameters, and weights with optimizer state, of a row of memory_theoretical_megatron.csv."""
    network = library.network(row["model"])._replace(vocab=int(number(row, "padded_vocab")), mtp_layers=0)
    layout = _layout(row)
    storage = Storage(shared="state" if row["dist_opt"] == "1" else "none")
    name = f"{row['model']} tp{row['tp']} pp{row['pp']} ep{row['ep']}"
    source = row["source"].split(" ")[2]
    states = max(total(static_lines(network, layout, storage, stage)) for stage in {0, layout.pp - 1}) / MIB
    count = sum(stage_parameters(network, Layout(), 0)) / 1e9
    yield Comparison(row["id"], name, source, "parameters", "billions", number(row, "total_params_B"), lambda _: count)
    yield Comparison(row["id"], name, source, "static", "MiB", number(row, "weight_opt_MiB"), lambda _: states)


def compare_deepseek(library: Library, row: Cells) -> Iterator[Comparison[Constants]]:
    """Yield parameters and activations of a row of memory_theoretical_deepseek.csv, of a stage in the middle."""
    network, layout, storage = library.network(row["model"]), _layout(row), Storage()
    name, source = f"{row['model']} pp{row['pp']} ep{row['ep']}", row["source"].split(" ")[2]
    held = total(static_lines(network, layout, storage, layout.pp // 2)) / GIB
    count, length = number(row, "mbs"), number(row, "seq")
    kept = _one_layer(network, layout, Tokens(count * length, count * length * length)) / MIB
    yield Comparison(row["id"], name, source, "static", "GiB", number(row, "total_param_GiB"), lambda _: held)
    yield Comparison(row["id"], name, source, "layer", "MiB", number(row, "act_per_layer_mb_MiB"), lambda _: kept)


def _one_layer(network: Network, layout: Layout, tokens: Tokens) -> float:
    return layer_kept(Pass(network, layout, tokens), last_layer(network)).total


def _layout(row: Cells) -> Layout:
    tp, pp, cp = (int(number(row, axis, 1)) for axis in ("tp", "pp", "cp"))
    dp = int(number(row, "dp", 0)) or int(number(row, "gpus")) // (tp * pp * cp)
    ep, etp = int(number(row, "ep", 1)), int(number(row, "etp", 1))
    chunks = int(number(row, "vp", number(row, "vpp", 1)))
    return Layout(tp=tp, sp=row.get("sp") == "1", pp=pp, vpp=chunks, cp=cp, ep=ep, etp=etp, dp=dp)
