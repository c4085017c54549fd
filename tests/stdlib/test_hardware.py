"""The GPUs of the library: figures as published, written out here a second time."""

from __future__ import annotations

import pytest

from checks.tree import ROOT
from compiler.ir.hardware import gpus_per_node
from rlc.catalogue import load_hardware

GPUS = load_hardware()


@pytest.mark.parametrize(
    ("name", "memory", "rates", "links"),
    [
        ("A100-80-SXM", (79.3, 2.039), (312, 0, 0), (300, 8, 8, 200)),
        ("H100-80-SXM", (79.6, 3.35), (989, 1979, 0), (450, 8, 8, 400)),
        ("H800-80-SXM", (79.6, 3.35), (989, 1979, 0), (200, 8, 8, 400)),
        ("H200-141-SXM", (139.8, 4.8), (989, 1979, 0), (450, 8, 8, 400)),
        ("H20-96", (95.6, 4.0), (148, 296, 0), (450, 8, 8, 400)),
        ("B200-180", (178.4, 8.0), (2250, 4500, 9000), (900, 8, 8, 400)),
        ("GB300-288", (277, 8.0), (2500, 5000, 15000), (900, 72, 4, 800)),
        ("MI250X-128", (127.9, 3.2), (383, 0, 0), (200, 8, 8, 200)),
        ("MI300X-192", (191.5, 5.3), (1307, 2614, 0), (448, 8, 8, 400)),
        ("MI355X-288", (287.6, 8.0), (2500, 5000, 10000), (538, 8, 8, 400)),
    ],
)
def test_figures_are_those_of_the_publishers(
    name: str, memory: tuple[float, float], rates: tuple[int, int, int], links: tuple[int, int, int, int]
) -> None:
    """Memory in GiB and TB/s; bf16, fp8 and fp4 in TFLOP/s; links in GB/s, GPUs they reach and in a machine, Gbit/s."""
    gpu = GPUS[name]
    assert (gpu.memory_gib, gpu.memory_tb_per_s) == memory
    assert (gpu.bf16_tflops, gpu.fp8_tflops, gpu.fp4_tflops) == rates
    assert (gpu.scaleup_gb_per_s, gpu.scaleup_gpus, gpu.gpus_per_node, gpu.nic_gbit_per_s) == links


def test_a_file_holds_the_gpus_of_one_vendor() -> None:
    files = sorted((ROOT / "stdlib" / "hardware").glob("*.toml"))
    assert [f.stem for f in files] == ["amd", "cpu", "nvidia"] == sorted({gpu.vendor for gpu in GPUS.values()})
    written = sum(text.count("\n[[gpu]]\n") for text in (f.read_text(encoding="utf-8") for f in files))
    assert len(GPUS) == written, "two GPUs of one name"


@pytest.mark.parametrize("name", GPUS)
def test_a_name_is_one_that_a_spec_can_write_and_holds_the_memory_that_is_sold(name: str) -> None:
    found = gpus_per_node(f"8x{name}")
    assert found is not None
    assert found == (8, name)
    sold = int(name.split("-")[1])
    assert 0.8 * sold < GPUS[name].memory_gib <= sold


@pytest.mark.parametrize("name", GPUS)
def test_every_gpu_says_where_its_figures_come_from(name: str) -> None:
    gpu = GPUS[name]
    assert gpu.source
    assert gpu.fp8_tflops in (0, 2 * gpu.bf16_tflops) or abs(gpu.fp8_tflops / gpu.bf16_tflops - 2) < 0.01
    assert gpu.gpus_per_node <= gpu.scaleup_gpus
    assert min(gpu.memory_tb_per_s, gpu.bf16_tflops, gpu.scaleup_gb_per_s, gpu.nic_gbit_per_s) > 0


@pytest.mark.parametrize("text", ["8xH100", "xH100-80-SXM", "8 x H100-80-SXM", "0xH100-80-SXM", "", None, 8])
def test_what_is_no_number_of_gpus_is_none_or_at_least_no_gpu(text: object) -> None:
    found = gpus_per_node(text)
    assert found is None or found.name not in GPUS
