"""Specs whose plans together hold every field of the schema, each written to a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from compiler.compile import compile_spec
from compiler.ir.sourced_plan import SourcedPlan
from rlc.catalogue import scan
from tests.compiler.bad_specs import working_in
from tests.compiler.emit.buffer_specs import CHOICES, buffer_specs
from tests.compiler.emit.debug_specs import debug_specs
from tests.compiler.emit.environment_specs import PLAY, environment_specs
from tests.compiler.emit.expert_specs import FURTHER_TOKENS
from tests.compiler.emit.function_specs import OWN_PARTS, function_specs
from tests.compiler.emit.placement_specs import PAIRED

PROJECT = Path(__file__).parents[3]
QUICKSTART = "experiments/quickstart.toml"

ONE_STAGE = """\
rlc = 1
name = "sums"
use = ["//recipes:grpo"]

[model]
name = "//models:tiny_qwen3"

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
prompts_per_step = 16
samples_per_prompt = 4
max_response_tokens = 8

[train]
global_batch = 32

[reward]
name = "exact"

[[data.train]]
path = "sums.jsonl"
"""

SUPERVISED = """\
rlc = 1
name = "imitation"
use = ["//recipes:sft"]

[model]
name = "//models:tiny_qwen3"

[cluster]
target = "cpu"

[run]
max_steps = 50

[train]
global_batch = 8
micro_batch = 4
precision = "bf16"

[optim]
name = "sgd"
momentum = 0.9
schedule = "cosine"
min_lr = 1e-6
warmup_steps = 5
clip_grad_norm = "off"

[[data.train]]
path = "dialogues.jsonl"
input_key = "messages"
label_key = "answer"

[[data.train]]
path = "more.jsonl"
metadata_key = "extra"
apply_chat_template = true
learn = "marked"
"""

STREAMED = (
    ONE_STAGE.replace('[[data.train]]\npath = "sums.jsonl"\n', "").replace(
        "[train]", '[data]\ncheck = "as_read"\nmalformed_rows = "drop"\nworkers = 4\n\n[train]'
    )
    + """
[[data.train]]
hub = "some/sums"
subset = "main"
split = "train"
revision = "v2"
streaming = true
weight = 3.0
tools_key = "tools"

[[data.train]]
function = "source.py:rows"
rows = ":2000"
weight = 1.0

[[data.train]]
path = "more.parquet"
weight = 0.5

[[eval.sets]]
name = "own"
function = "source.py:rows"
rows = "2000:2100"

[[eval.sets]]
name = "saved"
path = "saved"
split = "test"
"""
)
SOURCE = '''\
"""Sums."""


def rows():
    yield {"input": "1+1=", "label": "2"}
'''

ON_RAY = ONE_STAGE.replace("max_steps = 10", 'max_steps = 10\nexecutor = "ray"')
FROM_CHECKPOINT = ONE_STAGE.replace('name = "//models:tiny_qwen3"', 'hf = "checkpoint"')
CONFIG = {
    "model_type": "qwen3",
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 4096,
    "max_position_embeddings": 1024,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
}

OWN_REWARD = ONE_STAGE.replace('name = "exact"', 'name = "judge.py:best_of"')
JUDGE = '''\
"""The shortest response of a group wins."""


def best_of(group):
    return [1.0 for _ in group]
'''

WITH_REFERENCE = (
    ONE_STAGE
    + """
[[eval.sets]]
name = "heldout"
path = "heldout.jsonl"

[[eval.sets]]
name = "hard"
path = "hard.jsonl"

[eval]
interval = 5
max_prompts = 100
samples_per_prompt = 4

[eval.sampling]
top_k = 20

[loss]
old_logprobs = "recompute"

[loss.kl]
estimator = "k3"
coef = 0.01

[checkpoint]
interval = 5
"""
)

MANY_SETS = (
    ONE_STAGE
    + """
[eval]
samples_per_prompt = 4
metrics = ["pass", "avg", "cons"]

[[eval.sets]]
name = "easy"
path = "easy.jsonl"

[[eval.sets]]
name = "hard"
path = "hard.jsonl"
reward = { name = "judge.py:best_of", timeout_s = 5 }
samples_per_prompt = 16
max_prompts = 30
greedy = false
answer = "last_number"
sampling.temperature = 0.6
"""
)

SHARED = """\
rlc = 1
name = "addition"

[model]
name = "//models:tiny_qwen3"

[cluster]
target = "cpu"
cpu_threads = 2

[rollout]
max_prompt_tokens = 6
max_response_tokens = 5

[reward]
name = "exact"

[[data.train]]
path = "train.jsonl"

[[eval.sets]]
name = "heldout"
path = "heldout.jsonl"
"""

IMITATION = """
[[stages]]
name = "sft"
use = ["//recipes:sft"]
until = "eval.heldout.accuracy >= 0.33"

[stages.run]
max_steps = 1000

[stages.train]
global_batch = 256

[stages.optim]
lr = 4e-3
warmup_steps = 50
beta2 = 0.98

[stages.eval]
interval = 5
max_prompts = 800
at_start = false
greedy = false
"""

REINFORCEMENT = """
[[stages]]
name = "grpo"
use = ["//recipes:grpo"]

[stages.run]
max_steps = 100

[stages.rollout]
prompts_per_step = 128
samples_per_prompt = 8

[stages.train]
global_batch = 256

[stages.optim]
lr = 5e-4
"""

TWO_STAGES = SHARED + IMITATION + REINFORCEMENT

ON_SHARDS = """\
rlc = 1
name = "on-shards"
use = ["//recipes:sft"]

[model]
name = "//models:qwen3_4b"
weights = "weights"

[cluster]
target = "cuda"
nodes = 2
gpus_per_node = "8xH100-80-SXM"

[parallel]
cp = 2
dp = 8

[run]
max_steps = 50

[train]
global_batch = 64
precision = "bf16"
packing = { tokens = "40Ki" }

[train.engine]
name = "fsdp2"

[train.engine.fsdp2]
activation_checkpointing = "full"
activation_checkpointing_freq = 2
cpu_offload = true
dp_replicate_size = 2

[[data.train]]
path = "dialogues.jsonl"
"""

ON_GPUS = """\
rlc = 1
name = "on-gpus"
use = ["//recipes:grpo"]

[model]
name = "//models:glm5_744b_a40b"
weights = "weights"
num_layers = 6
overrides = [{ fact = "num_layers", why = "a cut for tests" }]

[cluster]
target = "cuda"
nodes = 4
gpus_per_node = "8xH200-141-SXM"
usd_per_gpu_hour = 2.75

[placement]
mode = "split"
rollout_gpus = 16
gpus_per_engine = 16

[parallel]
tp = 2
pp = 2
vpp = 3
ep = 4

[schedule]
mode = "async"
max_staleness = 2

[run]
max_steps = 10

[rollout]
prompts_per_step = 128
samples_per_prompt = 8
max_response_tokens = "2Ki"
expected_response_tokens = 700
expected_p90_response_tokens = 1500
max_prompt_tokens = 1024

[train]
global_batch = 1024
precision = "bf16"

[reward]
name = "math"

[[data.train]]
path = "problems.jsonl"

[[allow]]
rule = "ALGO-05"
why = "the routes of both engines are compared after each step"
"""
UNEVEN = ON_GPUS.replace("vpp = 3\n", "pp_first_layers = 4\npp_last_layers = 2\n")
NO_OVERRIDES = 'num_layers = 6\noverrides = [{ fact = "num_layers", why = "a cut for tests" }]\n'
STRETCHED = (
    UNEVEN.replace("glm5_744b_a40b", "deepseek_v3_5layer")
    .replace(NO_OVERRIDES, "")
    .replace("first_layers = 4\n", "first_layers = 3\n")
)
DELTA_NETS = (
    STRETCHED.replace("deepseek_v3_5layer", "qwen3_next_80b_a3b")
    .replace("first_layers = 3\n", "first_layers = 24\n")
    .replace("last_layers = 2\n", "last_layers = 24\n")
)
DELTA_NETS += """
[train.engine.megatron]
recompute_granularity = "full"
recompute_method = "uniform"
recompute_num_layers = 1
"""
LLAMA = ON_GPUS.replace("glm5_744b_a40b", "llama3_1_70b").replace(NO_OVERRIDES, "").replace("ep = 4\n", "")
LLAMA = LLAMA.replace("vpp = 3\n", "").replace("gpus_per_engine = 16", "gpus_per_engine = 8")
LLAMA += """
[rollout.engine.sglang]
mem_fraction_static = 0.8
cuda_graph_bs_decode = [1, 8]

[train.packing]
algorithm = "modified_first_fit_decreasing"
balance = "flops"
pad_multiple = 128

[train.engine.megatron]
recompute_granularity = "full"
"""

CORRECTED = (
    ONE_STAGE
    + """
[algo]
baseline = "leave_one_out"
whiten = true
advantage_low = -2.0
advantage_high = 2.0

[loss]
reduction = "constant"
empty_sequences = "skip"
old_logprobs = "recompute"
dual_clip = 3.0
max_ratio = 10.0
log_ratio_clamp = 20.0
opsm_delta = 0.1

[loss.mismatch]
bound = "mask"
low = 0.5
high = 5.0
level = "geometric"
normalize = true

[loss.rejection]
level = "geometric"
low = 0.99
high = 1.01
veto_below = 1e-4
max_error = 2.0

[loss.kl]
estimator = "k3"
coef = 0.001
input_clamp = 20.0
output_clamp = 10.0
weight = "old"
refresh_steps = 5
"""
)

RETURNS = (
    ONE_STAGE.replace("//recipes:grpo", "//recipes:reinforce_plus_plus")
    + """
[algo]
gamma = 0.99
masked_tokens = "count"
"""
)

CRITIC = (
    ONE_STAGE.replace("//recipes:grpo", "//recipes:ppo")
    + """
[algo]
length_adaptive = 0.05
critic_lam = 1.0

[critic]
warmup_rollouts = 3

[loss.positive_nll]
coef = 0.05
"""
)

TAUGHT = ONE_STAGE.replace("//recipes:grpo", "//recipes:on_policy_distillation").replace(
    '[reward]\nname = "exact"\n', ""
) + (
    """
[teacher]
name = "//models:tiny_qwen3"
weights = "teacher"

[loss]
divergence = "mixed"
outside_topk = "zero"
"""
)

BY_TOKEN = (
    ONE_STAGE.replace("//recipes:grpo", "//recipes:on_policy_distillation").replace(
        'use = ["//recipes:on_policy_distillation"]', 'algo = { name = "opd", rewards = "group" }\noptim.lr = 1e-5'
    )
    + """
[teacher]
name = "//models:tiny_qwen3"
weights = "random"
init_std = 0.05
"""
)

DYNAMIC = ONE_STAGE.replace("//recipes:grpo", "//recipes:dapo")

APART = (
    ONE_STAGE.replace("//recipes:grpo", "//recipes:gdpo").replace('name = "exact"', 'name = "weighted_sum"')
    + """
[[reward.terms]]
name = "exact"

[[reward.terms]]
name = "f1"
weight = 0.5
"""
)

PREFERENCES = (
    SUPERVISED.partition("[[data.train]]")[0].replace("//recipes:sft", "//recipes:dpo")
    + """[[data.train]]
path = "pairs.jsonl"
chosen_key = "better"
apply_chat_template = true
"""
)

COMPARED = (
    PREFERENCES
    + """
[rollout]
max_response_tokens = 8

[reward]
name = "exact"

[eval]
interval = 10

[[eval.sets]]
name = "sampled"
path = "heldout.jsonl"

[[eval.pairs]]
name = "compared"
path = "heldout_pairs.jsonl"
max_pairs = 64
"""
)
RANKED = (
    PREFERENCES.replace("//recipes:dpo", "//recipes:reward_model_bt")
    + """margin_key = "margin"
weight = 3.0

[[data.train]]
path = "more_pairs.parquet"
weight = 1.0

[loss]
center_coef = 0.01

[eval]
at_start = false
confidence = 0.9

[[eval.pairs]]
name = "heldout"
path = "heldout_pairs.jsonl"

[[eval.pairs]]
name = "made"
function = "source.py:rows"
rows = ":200"
"""
)
SCORED = (
    SUPERVISED.partition("[[data.train]]")[0].replace("//recipes:sft", "//recipes:reward_model_regression")
    + """[[data.train]]
path = "scores.jsonl"
score_key = "helpfulness"

[eval]
interval = 10

[[eval.scored]]
name = "heldout"
path = "heldout_scores.jsonl"
response_key = "answer"
max_rows = 100

[[eval.scored]]
name = "made"
function = "source.py:rows"
rows = ":200"
"""
)

SOFT = ONE_STAGE.replace("//recipes:grpo", "//recipes:sapo")

_JUDGED = [
    'name = "dapo"\ndapo.wrong_score = 0.0',
    'name = "regex"\nregex.pattern = \'(\\d+)\'\nregex.compare = "label"',
    'name = "format"\nformat.tags = ["thought", "answer"]',
    'name = "ifbench"\nifbench.score = "fraction"',
    'name = "code_tests"\ncode_tests.max_tests = 8',
    'name = "reward_model"\nreward_model.path = "scorer"',
    'name = "remote"\nremote.url = "http://localhost:8000/score"\nremote.key = "score"',
    'name = "judge"\njudge.url = "https://judges.example/v1/chat/completions"\njudge.model = "large"\n'
    'judge.token_env = "JUDGE_TOKEN"',
]
_TERMS = [
    *_JUDGED,
    'name = "judge.py:best_of"\nweight = 0.5\nlabel = "shortest"',
    'name = "boxed_math"\nweight = 2.0',
]
_SHAPED = """
[reward]
name = "weighted_sum"
on_failure = "score"
failure_score = -0.5

[reward.shaping]
truncated_coef = 0.5

[reward.shaping.scale]
source_min = -2.0
source_max = 1.0

[reward.shaping.overlong]
buffer_tokens = 2
floor = false

"""
_BY_ROW = """
[[stages]]
name = "by-row"
reward.name = "by_row"
reward.on_failure = "drop_group"
reward.terms = [{ name = "f1" }, { name = "gpqa", label = "choice" }]
"""
REWARDS = (
    ONE_STAGE.replace('name = "exact"', "").replace("[reward]", "").replace('use = ["//recipes:grpo"]\n', "")
    + 'metadata_key = "metadata"\n'
    + _SHAPED
    + "".join(f"[[reward.terms]]\n{term}\n\n" for term in _TERMS)
    + '[[stages]]\nname = "summed"\nuse = ["//recipes:grpo"]\n'
)
BY_ROW = (
    ONE_STAGE.replace('name = "exact"', "").replace("[reward]", "").replace('use = ["//recipes:grpo"]\n', "")
    + 'metadata_key = "metadata"\n'
    + "".join(
        f'[[stages]]\nname = "stage-{index}"\nuse = ["//recipes:grpo"]\n\n[stages.reward]\n{one}\n\n'
        for index, one in enumerate(_JUDGED)
    )
    + _BY_ROW
    + 'use = ["//recipes:grpo"]\n'
)

LAUNCH = """
[launch]
image = "registry.example.com/rlc-cpu:1"
shared_dir = "/fleet"
root = "/fleet/data"
mounts = ["/scratch"]
secrets = ["JUDGE_KEY"]
time_limit_s = "12h"
cpus_per_node = 8
memory_per_node = "64GiB"
shm = "1GiB"

[launch.slurm]
partition = "batch,spare"
account = "physics"
qos = "long"
container = "apptainer"
grace_s = "10m"
max_requeues = 3

[launch.kubernetes]
namespace = "training"
claim = "fleet"
secret = "keys"
pull_secret = "registry"
service_account = "trainer"
node_selector = ["example.com/pool=training"]
tolerations = ["example.com/batch"]
ttl_s = 600
retries = 1
"""

SPECS = {
    "streamed": STREAMED,
    "corrected": CORRECTED,
    "returns": RETURNS,
    "soft": SOFT,
    "apart": APART,
    "dynamic": DYNAMIC,
    "preferences": PREFERENCES,
    "compared": COMPARED,
    "ranked": RANKED,
    "scored": SCORED,
    "critic": CRITIC,
    "taught": TAUGHT,
    "by_token": BY_TOKEN,
    "rewards": REWARDS,
    "by_row": BY_ROW,
    "on_gpus": ON_GPUS,
    "paired": PAIRED,
    "on_shards": ON_SHARDS,
    "uneven": UNEVEN,
    "stretched": STRETCHED,
    "delta_nets": DELTA_NETS,
    "llama": LLAMA,
    "further_tokens": FURTHER_TOKENS,
    "one_stage": ONE_STAGE,
    "supervised": SUPERVISED,
    "from_checkpoint": FROM_CHECKPOINT,
    "on_ray": ON_RAY,
    "own_reward": OWN_REWARD,
    "with_reference": WITH_REFERENCE,
    "many_sets": MANY_SETS,
    "two_stages": TWO_STAGES,
    "launched": ONE_STAGE + LAUNCH,
    **buffer_specs(ONE_STAGE),
    **environment_specs(ONE_STAGE),
    **function_specs(ONE_STAGE),
    **debug_specs(ONE_STAGE),
}


def write_spec(folder: Path, name: str) -> Path:
    """Write a spec and what it needs; return the path of the spec relative to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.toml").write_text(SPECS[name])
    (folder / "judge.py").write_text(JUDGE)
    (folder / "source.py").write_text(SOURCE)
    (folder / "choices.py").write_text(CHOICES)
    (folder / "parts.py").write_text(OWN_PARTS)
    (folder / "play.py").write_text(PLAY)
    (folder / "checkpoint").mkdir(exist_ok=True)
    (folder / "checkpoint/config.json").write_text(json.dumps(CONFIG, indent=2))
    return Path("spec.toml")


def plan_of(folder: Path, name: str, overrides: Sequence[str] = ()) -> SourcedPlan:
    """Return the plan of one of SPECS."""
    return plan_in(folder, write_spec(folder, name), overrides)


def quickstart(overrides: Sequence[str] = ()) -> SourcedPlan:
    """Return the plan of the quickstart."""
    return plan_in(PROJECT, Path(QUICKSTART), overrides)


def plan_of_text(folder: Path, text: str) -> SourcedPlan:
    """Return the plan of a text."""
    (folder / "spec.toml").write_text(text)
    return plan_in(folder, Path("spec.toml"))


def plan_in(folder: Path, spec: Path, overrides: Sequence[str] = ()) -> SourcedPlan:
    """Return the plan of a spec that is named as from a folder, so that no place of this machine is in it."""
    with working_in(folder):
        compiled = compile_spec(spec, scan(), overrides=overrides)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    return SourcedPlan(compiled.plan, compiled.subject, str(spec))
