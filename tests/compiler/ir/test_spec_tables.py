"""The union of all tables that a spec may hold."""

from __future__ import annotations

from compiler.ir.spec_tables import ROOT, bounds_in_words, spec_keys, spec_tables
from rlc.catalogue import scan

RUN = {"seed", "executor", "max_steps", "engine_restarts", "trainer_restarts", "health_interval_s", "health_timeout_s"}


def test_a_key_that_one_algorithm_reads_names_it() -> None:
    keys = spec_keys(scan())
    assert keys["loss.gate_positive"].readers == ("algorithm sapo",)
    assert "algorithm grpo" in keys["loss.clip_low"].readers
    assert "algorithm sft" not in keys["loss.kl"].readers


def test_a_key_that_everything_reads_names_nobody() -> None:
    keys = spec_keys(scan())
    assert keys["optim.lr"].readers == ()
    assert keys["train.global_batch"].readers == ()
    assert keys["model.num_layers"].readers == ()


def test_keys_of_rollout_are_read_where_text_is_sampled() -> None:
    keys = spec_keys(scan())
    assert keys["rollout.prompts_per_step"].readers == ("stages that sample",)
    assert keys["rollout.max_prompt_tokens"].readers == ("stages that sample or evaluate",)
    assert keys["train.steps_per_rollout"].readers == ("stages that sample",)


def test_what_the_compiler_computes_is_derived_with_all_below_it() -> None:
    keys = spec_keys(scan())
    assert {"seeds", "seeds.data", "reward.code", "reward.code.path", "cluster.environment.name"} <= {
        path for path, key in keys.items() if key.is_derived
    }
    assert not keys["run.seed"].is_derived


def test_tables_to_be_written_hold_no_derived_key() -> None:
    tables = spec_tables(scan(), of_stage=False)
    assert "seeds" not in tables
    assert "reward.code" not in tables
    assert not [key for table in tables.values() for key in table.keys if key.is_derived]
    assert [key.name for key in tables["reward.shaping.scale"].keys] == [
        "source_min",
        "source_max",
        "target_min",
        "target_max",
    ]


def test_a_stage_holds_less_than_the_top() -> None:
    top, stage = spec_tables(scan(), of_stage=False), spec_tables(scan(), of_stage=True)
    assert "model" in top
    assert "model" not in stage
    assert [key.name for key in stage["run"].keys] == ["max_steps"]
    assert {key.name for key in top["run"].keys} == RUN
    assert "use" not in {key.name for key in stage[ROOT].keys}


def test_a_table_is_written_with_one_or_two_brackets() -> None:
    tables = spec_tables(scan(), of_stage=False)
    assert (tables["loss.kl"].title, tables["data.train"].title) == ("[loss.kl]", "[[data.train]]")


def test_bounds_are_words() -> None:
    keys = spec_keys(scan())
    assert bounds_in_words(keys["cluster.cpu_threads"].field) == "at least 1 and at most 1,024"
    assert bounds_in_words(keys["optim.lr"].field) == "more than 0 and at most 10"
    assert bounds_in_words(keys["optim.name"].field) == ""
