"""An optimizer step against closed forms: FLOPs of published formulas, the bubble of a pipeline, a ring's bytes."""

from __future__ import annotations

import pytest

from compiler.planner.memory.activations import Recompute, Tokens
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.network import Network, network_of
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Sharding, Storage, stage_parameters
from compiler.planner.memory.training import Job
from compiler.planner.time.constants import HOST_GB_PER_S, LINK_FRAC, RATES, UNPINNED_GB_PER_S
from compiler.planner.time.speed import product_rate
from compiler.planner.time.training import Trainer, scoring_seconds, train_flops, train_seconds
from compiler.planner.time.work import network_work
from rlc.catalogue import scan
from rlc.models import read_models

H100 = scan().load_hardware()["H100-80-SXM"]
LENGTH = 2048
GPT = Network(24, 2048, 4 * 2048, 16, 16, 128, 51200, gated_ffn=False, biases=True, norm_vectors=2, tied=True)


def trainer(layout: Layout | None = None, *, micro_batches: int = 8, recompute: Recompute | None = None) -> Trainer:
    job = Job(
        network=GPT,
        layout=layout or Layout(),
        storage=Storage(),
        recompute=recompute or Recompute(),
        tokens=Tokens(LENGTH, LENGTH * LENGTH),
        loss=Loss(),
        micro_batches=micro_batches,
    )
    return Trainer(job, network_work(GPT), H100)


def test_flops_are_those_of_the_formula_for_gpt() -> None:
    """arXiv:2104.04473, eq. 3: 72 B s L h^2 (1 + s / 6h + V / 12Lh) without recomputation; half of the pairs here."""
    layers, hidden, vocab = GPT.num_layers, GPT.hidden, GPT.vocab
    known = 72 * LENGTH * layers * hidden**2 * (1 + LENGTH / (12 * hidden) + vocab / (12 * layers * hidden))
    assert train_flops(trainer()) == pytest.approx(known, rel=2e-3)


def test_packed_sequences_have_fewer_pairs() -> None:
    """Four of 512 tokens have a quarter of the pairs of one of 2,048."""
    one = trainer()
    packed = one._replace(job=one.job._replace(tokens=Tokens(LENGTH, 4 * 512 * 512)))
    pair = 3 * 2 * GPT.heads * GPT.head_dim * GPT.num_layers
    assert train_flops(one) - train_flops(packed) == pytest.approx(pair * (LENGTH**2 - 4 * 512**2))


@pytest.mark.parametrize(("stages", "chunks"), [(4, 2), (8, 3), (2, 4)])
def test_a_pipeline_waits_for_p_minus_1_micro_batches_over_its_chunks(stages: int, chunks: int) -> None:
    """arXiv:2104.04473: (p - 1) / (v m) of the time that its micro-batches take."""
    found = train_seconds(trainer(Layout(pp=stages, vpp=chunks), micro_batches=24), RATES)
    computed = sum(found[:8])
    assert found.pipeline == pytest.approx((stages - 1) / (24 * chunks) * computed)


def test_without_chunks_the_bubble_is_p_minus_1_over_m_and_activations_are_sent() -> None:
    """The slowest stage is the last one, which has the head."""
    stages, micro_batches = 4, 12
    found = train_seconds(trainer(Layout(pp=stages), micro_batches=micro_batches), RATES)
    sent = 2 * micro_batches * LENGTH * GPT.hidden * 2 / (450e9 * LINK_FRAC)
    assert found.pipeline == pytest.approx((stages - 1) / micro_batches * sum(found[:8]) + sent)


def test_one_stage_has_no_bubble() -> None:
    assert train_seconds(trainer(), RATES).pipeline == 0


def test_recomputing_all_layers_is_one_more_forward_pass_of_them() -> None:
    """Products of layers three times and then four times; the head stays at three."""
    plain = train_seconds(trainer(), RATES).products
    again = train_seconds(trainer(recompute=Recompute("full")), RATES).products
    head = 3 * 2 * GPT.vocab * GPT.hidden * LENGTH * 8 / (989e12 * RATES.product_frac)
    assert again - head == pytest.approx((plain - head) * 4 / 3)


def test_latent_vectors_raised_again_cost_their_products_once_more() -> None:
    """Of DeepSeek-V3: 128 heads of 192 from 1,536, and of 256 from 512, in 61 layers."""
    network = network_of(next(one for one in read_models(scan()) if one.name == "deepseek_v3").facts)
    network = network._replace(mtp_layers=0)
    made = trainer()._replace(work=network_work(network))
    plain = made._replace(job=made.job._replace(network=network))
    again = plain._replace(job=plain.job._replace(recompute=Recompute("selective", ("mla_up_proj",))))
    flops = 2 * 128 * (1536 * 192 + 512 * 256) * 61 * plain.job.tokens.count * plain.job.micro_batches
    more = train_seconds(again, RATES).products - train_seconds(plain, RATES).products
    assert more == pytest.approx(flops / product_rate(plain.gpu, "bf16", RATES))


def test_tensor_parallelism_gathers_and_scatters_four_times_a_layer_and_pass() -> None:
    """Of s x h numbers of two bytes, (t - 1) / t of which a rank sends; and once for the head."""
    found = train_seconds(trainer(Layout(tp=8, sp=True)), RATES)
    once = 7 / 8 * LENGTH * GPT.hidden * 2 / (450e9 * LINK_FRAC)
    assert found.tensor_parallel == pytest.approx(8 * 2 * (4 * GPT.num_layers + 1) * once)


def test_copies_of_the_model_wait_for_what_a_backward_pass_does_not_hide() -> None:
    """On one node it hides all of it; over a slow network a step waits for the rest."""
    assert train_seconds(trainer(Layout(dp=8)), RATES).data_parallel == 0
    slow = trainer(Layout(dp=64))._replace(gpu=H100._replace(nic_gbit_per_s=1))
    assert train_seconds(slow, RATES).data_parallel > 1


def test_a_pass_for_log_probs_is_the_forward_pass_of_a_step() -> None:
    """A third of the products, and none of the update."""
    step, scored = train_seconds(trainer(), RATES), scoring_seconds(trainer(), RATES)
    assert scored.products == pytest.approx(step.products / 3)
    assert scored.optimizer == 0


def test_work_is_shared_by_all_that_split_it() -> None:
    """Twice as many GPUs for every layer or for every sequence have half of the products each."""
    alone = train_seconds(trainer(), RATES).products
    for layout in (Layout(tp=2, sp=True), Layout(cp=2)):
        assert train_seconds(trainer(layout), RATES).products == pytest.approx(alone / 2, rel=1e-3)


SHARDS = Storage(weight=4, gradient=4, master=0, moments=8, shared="all")
NVLINK = 450e9 * LINK_FRAC
GATHERED = 2 * stage_parameters(GPT, Layout(), 0).total  # bytes of the weights in bf16


def sharded(sharding: Sharding, copies: int = 8, micro_batches: int = 1) -> Trainer:
    """Micro-batches of a single token, which hide nothing of what is exchanged."""
    one = trainer(Layout(dp=copies), micro_batches=micro_batches)
    storage = SHARDS._replace(sharding=sharding)
    gpu = one.gpu._replace(bf16_tflops=1e9, memory_tb_per_s=1e9)
    return one._replace(gpu=gpu, job=one.job._replace(storage=storage, tokens=Tokens(1, 1)))


QUICK = RATES._replace(layer_us=0.0)


@pytest.mark.parametrize(("kept", "passes"), [(0.0, 2.0), (0.75, 1.25), (1.0, 1.0)])
@pytest.mark.parametrize("reduced", [2, 4])
def test_weights_are_gathered_for_each_pass_in_which_they_are_not_there(
    kept: float, passes: float, reduced: int
) -> None:
    """A ring of eight moves 7/8 of the bytes; gradients are reduced once, in their own format."""
    found = train_seconds(sharded(Sharding(kept_frac=kept, reduced=reduced)), QUICK).data_parallel
    assert found == pytest.approx(7 / 8 * GATHERED * (passes + reduced / 2) / NVLINK, rel=1e-3)


@pytest.mark.parametrize("micro_batches", [1, 5])
def test_gradients_of_groups_are_summed_over_them_by_their_shards_once(micro_batches: int) -> None:
    """Two groups of four on one NVLink domain: rings of four, and an all-reduce of two over a quarter of fp32."""
    found = train_seconds(sharded(Sharding(groups=2), micro_batches=micro_batches), QUICK).data_parallel
    ring, summed = 3 / 4 * GATHERED * (2 + 2), 2 * 1 / 2 * 2 * GATHERED / 4
    assert found == pytest.approx((ring * micro_batches + summed) / NVLINK, rel=1e-3)


@pytest.mark.parametrize(("micro_batches", "is_faster"), [(1, False), (8, True)])
def test_groups_that_fill_a_domain_pay_where_there_are_many_micro_batches(micro_batches: int, is_faster: bool) -> None:
    one, groups = (sharded(Sharding(groups=count), 64, micro_batches) for count in (1, 8))
    assert (train_seconds(groups, QUICK).data_parallel < train_seconds(one, QUICK).data_parallel) == is_faster


@pytest.mark.parametrize(("is_pinned", "rate"), [(True, HOST_GB_PER_S), (False, UNPINNED_GB_PER_S)])
def test_shards_on_the_host_cross_the_link_twice_and_their_gradients_once(is_pinned: bool, rate: float) -> None:
    found = train_seconds(sharded(Sharding(is_on_host=True, is_pinned=is_pinned)), QUICK)
    shards = 2 * GATHERED / 8  # in fp32
    exchanged = 0 if is_pinned else 7 / 8 * GATHERED * (2 + 2) / NVLINK
    assert found.data_parallel == pytest.approx(3 * shards / (rate * 1e9) + exchanged, rel=1e-3)
    assert found.optimizer == pytest.approx((2 * 4 + 2 * 8 + 4) * shards / 4 / (HOST_GB_PER_S * 1e9))


def test_what_is_no_product_moves_once_more_where_it_is_computed_again() -> None:
    plain, again = (
        train_seconds(trainer(recompute=one), RATES) for one in (Recompute(), Recompute("selective", ("elementwise",)))
    )
    assert (again.products, again.attention) == (plain.products, plain.attention)
    assert plain.moving < again.moving < plain.moving * 4 / 3
