"""The Hugging Face classes of each family that this trainer knows.

Each is imported only when a plan names it: the modules of transformers load slowly, and a run needs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from compiler.diagnostics.diagnostic import InternalError

if TYPE_CHECKING:
    from torch import nn
    from transformers import Glm4ForCausalLM, LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, Qwen3MoeForCausalLM

    CausalModel: TypeAlias = (
        Glm4ForCausalLM | LlamaForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM | Qwen3MoeForCausalLM
    )


class HfFamily(NamedTuple):
    """The classes of one family: configuration, model with its head (each takes what its family has), and norm.

    `swiglu` is a feed-forward layer down(silu(gate(x)) * up(x)) of three projections, where the family has one.
    """

    config: Any
    model: Any
    norm: type[nn.Module]
    swiglu: type[nn.Module] | None = None


def hf_family(family: str) -> HfFamily:
    """Return the classes of a family.  Raises: InternalError for one that the target does not list."""
    match family:
        case "qwen3":
            from transformers import Qwen3Config, Qwen3ForCausalLM
            from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP, Qwen3RMSNorm

            return HfFamily(Qwen3Config, Qwen3ForCausalLM, Qwen3RMSNorm, Qwen3MLP)
        case "qwen3_moe":
            from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
            from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeMLP, Qwen3MoeRMSNorm

            return HfFamily(Qwen3MoeConfig, Qwen3MoeForCausalLM, Qwen3MoeRMSNorm, Qwen3MoeMLP)
        case "qwen2":
            from transformers import Qwen2Config, Qwen2ForCausalLM
            from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP, Qwen2RMSNorm

            return HfFamily(Qwen2Config, Qwen2ForCausalLM, Qwen2RMSNorm, Qwen2MLP)
        case "llama":
            from transformers import LlamaConfig, LlamaForCausalLM
            from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

            return HfFamily(LlamaConfig, LlamaForCausalLM, LlamaRMSNorm, LlamaMLP)
        case "glm4":
            from transformers import Glm4Config, Glm4ForCausalLM
            from transformers.models.glm4.modeling_glm4 import Glm4RMSNorm

            return HfFamily(Glm4Config, Glm4ForCausalLM, Glm4RMSNorm)
        case _:
            raise InternalError(f"the torch trainer has no family {family}")
