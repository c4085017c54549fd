"""Any texts as the files of one experiment: recipes, models, loaded files, a policy, custom code, the root's marker.

An input is the files one after the other, each behind a line `-- NAME --`; what stands before the first is nothing.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from tests.fuzz import seeds
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import sound
from tests.fuzz.target import Target
from tests.fuzz.workplace import FILES, catalogue

_HEAD = re.compile(rb"^-- ([a-z_]+(?:/[a-z_]+)?\.(?:toml|star|py|json)) --[ \t]*\n", re.MULTILINE)
_MOST_FILES = 10
_LONGEST_NAME = 100
_ROOT = Path("project")

_RECIPES = """-- rlc.toml --
rlc = 1
policy = "policy.star"
-- spec.toml --
name = "case"
use = ["recipes/mine.star", "base.toml"]
model.hf = "tiny"
cluster.target = "cpu"
run.max_steps = 3
rollout = { prompts_per_step = 4, samples_per_prompt = 8, max_response_tokens = 16 }
train.global_batch = 32
reward.name = "rewards.py:near"
data.train = [{ path = "train.jsonl" }]
-- recipes/mine.star --
load("../lib.star", "low", rate = "lr")
def mine(clip = 0.2):
    return fragment(use = ["//recipes:grpo"], loss = dict(clip_low = low(clip)), optim = dict(lr = rate))
-- lib.star --
lr = 1e-4
def low(x):
    return x / 2 if x > 0.1 else x
-- base.toml --
[optim]
warmup_steps = 1
-- policy.star --
require("optim.lr < 1", "small steps")
-- rewards.py --
async def far(samples): return [0.0]
def near(sample, *, scale: float = 1.0) -> float:
    return 0.0
-- tiny/config.json --
{"model_type": "qwen3", "num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 384,
 "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 52, "max_position_embeddings": 4096,
 "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "tie_word_embeddings": true}
"""
_MODELS = """-- spec.star --
load("models.star", "small")
load("//models:qwen3.star", "qwen3_0_6b", "qwen3")
def arm(net, n):
    return experiment(
        name = "arm-%d" % n,
        use = ["//recipes:grpo", fragment(optim = dict(warmup_steps = 0))],
        model = net,
        cluster = dict(target = "cpu"),
        run = dict(max_steps = n),
        rollout = dict(prompts_per_step = 4, samples_per_prompt = 8, max_response_tokens = 16),
        train = dict(global_batch = 32),
        reward = dict(name = "rewards:near"),
        data = dict(train = [dict(path = "train.jsonl")]),
    )
sweep([arm(net, n + 1) for n, net in enumerate([small(), small(hidden_size = 64), qwen3_0_6b(weights = "random")])])
-- models.star --
def small(**facts):
    return model(facts = dict(
        family = "qwen3", num_layers = 2, hidden_size = 32, intermediate_size = 48, num_heads = 4, num_kv_heads = 2,
        head_dim = 8, vocab_size = 52, max_position_tokens = 512, rope_base = 10000.0, norm_eps = 1e-6,
        tie_embeddings = True, qk_norm = "head", weights = "random",
        tokenizer = dict(kind = "characters", alphabet = "ab"),
    ), changes = facts)
-- rewards.py --
def near(batch): return [0.0 for sample in batch]
-- policy.star --
[require("%s > 0" % name, "positive") for name in ["optim.lr", "run.max_steps"]]
"""


def check(data: bytes) -> None:
    """Lay the files out in a folder of their own, and compile every spec among them."""
    shutil.rmtree(_ROOT, ignore_errors=True)
    _ROOT.mkdir()
    for name, content in _files(data):
        if len(name) > _LONGEST_NAME:  # no file system takes it, so nobody can bring such a file
            continue
        path = _ROOT / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    for spec in ("spec.toml", "spec.star"):
        if (_ROOT / spec).exists():
            sound(_ROOT / spec, catalogue())


def words() -> tuple[str, ...]:
    """Return what such files hold, and what they are called."""
    names = [found[1].decode() for text in (_RECIPES, _MODELS) for found in _HEAD.finditer(text.encode())]
    heads = [f"\n-- {name} --\n" for name in names]
    python = ("def near(group):\n    return 0.0\n", "lambda", "async", "@", "*args", "**kw", "/", "class", "import")
    return (*names, *heads, *python, *seeds.words_of_starlark(), *seeds.words_of_specs())


def _files(data: bytes) -> Iterator[tuple[str, bytes]]:
    heads = list(_HEAD.finditer(data))[:_MOST_FILES]
    for head, following in zip_longest(heads, heads[1:]):
        yield head[1].decode(), data[head.end() : following.start() if following is not None else None]


def _seeds() -> Iterator[bytes]:
    yield _RECIPES.encode()
    yield _MODELS.encode()
    for folder in sorted(path for path in (seeds.PROJECT / "tests/cases").iterdir() if path.is_dir()):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        yield b"".join(b"-- %s --\n%s" % (str(p.relative_to(folder)).encode(), p.read_bytes()) for p in files)
    for kind in ("recipes", "models"):
        for path in sorted((seeds.PROJECT / "stdlib" / kind).glob("*.star")):
            head = b'-- spec.toml --\nuse = ["' + path.name.encode() + b'"]\n' + (FILES / "one_stage.toml").read_bytes()
            yield head + b"-- " + path.name.encode() + b" --\n" + path.read_bytes()


TARGET = Target(check, _seeds, words, 2 * CPU_S)
