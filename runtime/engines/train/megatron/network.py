"""The part of a model that this process holds: one chunk of layers, or several where a pipeline interleaves them.

A chunk returns hidden states: the head over the vocabulary belongs to the loss, which never holds a row of logits.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Never

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_decoder_block_spec
from megatron.core.tensor_parallel.layers import (
    ColumnParallelLinear,
    RowParallelLinear,
    VocabParallelEmbedding,
    set_tensor_model_parallel_attributes,
)
from megatron.core.transformer import transformer_config
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from compiler.ir.model import Model
from compiler.ir.openness import Off
from runtime.engines.architecture import architecture
from runtime.engines.train.hf_config import hf_config
from runtime.engines.train.megatron.records import Records

_RECORDS = {
    "TransformerConfig": transformer_config.TransformerConfig,
    "MLATransformerConfig": transformer_config.MLATransformerConfig,
}


class Chunk(GPTModel):
    """Layers that follow each other, with the embedding where they are the first, and the head where the last."""

    def _postprocess(self, hidden_states: Tensor, **_: Any) -> Tensor:
        """Return [S, 1, D] hidden states, behind the last norm where these are the last layers."""
        return hidden_states

    def put_number_head(self) -> None:
        """Have a head of one number in the place of that over the vocabulary, in fp32."""
        del self.output_layer
        self.number_head = torch.nn.Parameter(torch.zeros(1, self.config.hidden_size))

    @property
    def head_rows(self) -> Tensor:
        """[V / tp, D] this rank's rows of the head, zero-filled behind the vocabulary."""
        shared = self.share_embeddings_and_output_weights
        found: Tensor = self.shared_embedding_or_output_weight() if shared else self.output_layer.weight
        return found


class NormedRowParallelLinear(RowParallelLinear):
    """A layer's last projection and a norm of what comes out, for models that norm that too."""

    def __init__(self, input_size: int, output_size: int, **kwargs: Any) -> None:
        super().__init__(input_size, output_size, **kwargs)
        config = kwargs["config"]
        self.post_norm_eps = config.layernorm_epsilon
        weight: Any = torch.nn.Parameter(torch.ones(output_size, dtype=config.params_dtype, device=self.weight.device))
        weight.sequence_parallel = config.sequence_parallel
        self.post_norm_weight = weight

    def forward(self, input_: Tensor) -> tuple[Tensor, None]:
        out, _ = super().forward(input_)
        return torch.nn.functional.rms_norm(out, out.shape[-1:], self.post_norm_weight, self.post_norm_eps), None


def network_config(records: Records) -> Any:
    """Return Megatron's own record of the network."""
    return _RECORDS[records.network_name](**records.network)


def build_chunks(config: Any, records: Records, model: Model[Never], *, has_vocabulary: bool = True) -> list[Chunk]:
    """Return this process's chunks, in the order in which a token passes them; weights are not filled in.

    Args:
        has_vocabulary: whether the head is one over the vocabulary, and not of one number.
    """
    virtual = config.virtual_pipeline_model_parallel_size
    stages = [None] if virtual is None else list(range(virtual))
    has_kernels = find_spec("transformer_engine") is not None
    settings = records.of("GPTModel")
    if not has_vocabulary:
        settings["share_embeddings_and_output_weights"] = False
    chunks: list[Chunk] = []
    for stage in stages:
        layers = get_gpt_decoder_block_spec(config, use_transformer_engine=has_kernels, vp_stage=stage)
        if model.post_norms:
            for layer in layers.layer_specs:
                layer.submodules.self_attention.submodules.linear_proj = NormedRowParallelLinear
                layer.submodules.mlp.submodules.linear_fc2 = NormedRowParallelLinear
        first_or_last = {"ignore_virtual": False, "vp_stage": stage}
        chunk = Chunk(
            config=config,
            transformer_layer_spec=layers,
            pre_process=parallel_state.is_pipeline_first_stage(**first_or_last),
            post_process=parallel_state.is_pipeline_last_stage(**first_or_last),
            vp_stage=stage,
            **settings,
        )
        if not has_vocabulary and chunk.post_process:
            chunk.put_number_head()
        _mark_split_weights(chunk)
        _mark_experts(chunk)
        _stretch_positions(chunk, model)
        chunks.append(chunk.cuda() if torch.cuda.is_available() else chunk)
    return chunks


def _mark_experts(chunk: Chunk) -> None:
    """Say that gradients of experts are added up over the ranks that hold the same ones.

    Without expert parallelism Megatron adds them up over the data-parallel ranks, and so leaves out the tokens of the
    tensor-parallel ones where these hold whole experts.
    """
    for name, parameter in chunk.named_parameters():
        if ".mlp.experts." in name:
            parameter.allreduce = False


def _stretch_positions(chunk: Chunk, model: Model[Never]) -> None:
    """Turn positions by the model's own waves: Megatron has numbers of Llama 3.1 built in, whatever the plan says."""
    scaling = model.rope_scaling
    if not isinstance(scaling, Off) and scaling.kind == "llama3":
        waves, _ = ROPE_INIT_FUNCTIONS["llama3"](hf_config(model, architecture(model)))
        chunk.rotary_pos_emb.inv_freq = waves.to(chunk.rotary_pos_emb.inv_freq.device)


def _mark_split_weights(chunk: Chunk) -> None:
    """Say of every weight along which dimension ranks split it.

    Where weights are not initialised Megatron itself leaves that out, and takes those of all ranks but the first for
    copies: the norm of the gradient, by which it is clipped, would lack them without a word.
    """
    for module in chunk.modules():
        weight = getattr(module, "weight", None)
        if weight is None or hasattr(weight, "tensor_model_parallel"):
            continue
        if isinstance(module, RowParallelLinear):
            set_tensor_model_parallel_attributes(weight, True, 1, 1)
        elif isinstance(module, ColumnParallelLinear | VocabParallelEmbedding):
            set_tensor_model_parallel_attributes(weight, True, 0, 1)
