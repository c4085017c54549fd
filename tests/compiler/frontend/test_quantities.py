"""Quantities: exact values by hand, and what an ambiguous text offers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.ir.quantities import QuantityFault, parse_bytes, parse_seconds, parse_tokens


@pytest.mark.parametrize(
    ("text", "value"),
    [("8Ki", 8192), ("64Ki", 65536), ("1Mi", 1048576), ("8_000", 8000), ("8192", 8192), ("0.5Ki", 512), ("2.0", 2)],
)
def test_tokens(text: str, value: int) -> None:
    assert parse_tokens(text) == value


@pytest.mark.parametrize(
    ("text", "suggestions"),
    [
        ("8k", ("8Ki", "8_000")),
        ("8K", ("8Ki", "8_000")),
        ("1M", ("1Mi", "1_000_000")),
        ("1.5k", ("1.5Ki", "1_500")),
        ("8ki", ("8Ki",)),
        ("8KiB", ("8Ki",)),
        ("8 Ki", ("8Ki",)),
        ("8,000", ("8_000",)),
        ("many", ("8Ki", "8_000")),
        ("-8Ki", ("8Ki", "8_000")),
        ("", ("8Ki", "8_000")),
    ],
)
def test_tokens_that_could_mean_two_things_offer_both(text: str, suggestions: tuple[str, ...]) -> None:
    fault = parse_tokens(text)
    assert isinstance(fault, QuantityFault)
    assert fault.suggestions == suggestions
    assert all(isinstance(parse_tokens(s), int) for s in suggestions)


def test_an_ambiguous_number_of_tokens_is_told_with_both_values() -> None:
    assert parse_tokens("8k") == QuantityFault("`8k` could mean 8,000 or 8,192", ("8Ki", "8_000"))


@pytest.mark.parametrize("text", ["0.3Ki", "1.5", "9" * 33, "9" * 25, "8x", "1_", "\u0661"])
def test_what_is_no_whole_number_of_tokens_is_a_fault(text: str) -> None:
    assert isinstance(parse_tokens(text), QuantityFault)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5GiB", 2**29), ("512MiB", 2**29), ("80GB", 80 * 10**9), ("1.5TB", 15 * 10**11), ("0B", 0), ("1kB", 1000)],
)
def test_bytes(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "suggestions"),
    [
        ("512", ("512B", "512MiB", "512GiB")),
        ("512M", ("512MiB", "512MB")),
        ("80gb", ("80GB",)),
        ("80Gi", ("80GiB",)),
        ("0.5 GiB", ("0.5GiB",)),
    ],
)
def test_bytes_without_a_clear_unit_are_a_fault_with_ways_out(text: str, suggestions: tuple[str, ...]) -> None:
    fault = parse_bytes(text)
    assert isinstance(fault, QuantityFault)
    assert fault.suggestions == suggestions
    assert all(isinstance(parse_bytes(s), int) for s in suggestions)


@pytest.mark.parametrize(
    ("text", "value"), [("30m", 1800), ("1h30m", 5400), ("45s", 45), ("250ms", 0.25), ("1.5h", 5400), ("1d", 86400)]
)
def test_durations(text: str, value: float) -> None:
    assert parse_seconds(text) == value


@pytest.mark.parametrize(
    ("text", "suggestions"),
    [("90", ("90s", "90m")), ("30min", ("30m",)), ("5 s", ("5s",)), ("30m1h", ()), ("1h1h", ()), ("2 hours", ("2h",))],
)
def test_what_is_no_duration_is_a_fault(text: str, suggestions: tuple[str, ...]) -> None:
    fault = parse_seconds(text)
    assert isinstance(fault, QuantityFault)
    assert fault.suggestions == suggestions


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.sampled_from(["Ki", "Mi", "Gi"]))
def test_tokens_are_exact(whole: int, fraction: int, unit: str) -> None:
    exact = Fraction(f"{whole}.{fraction}") * 1024 ** ("Ki", "Mi", "Gi").index(unit) * 1024
    found = parse_tokens(f"{whole}.{fraction}{unit}")
    assert found == exact if exact.denominator == 1 and exact < 2**63 else isinstance(found, QuantityFault)


@given(st.text(max_size=12), st.text("0123456789._kKMGiBhms ", max_size=12))
def test_any_text_is_a_value_or_a_fault(one: str, two: str) -> None:
    for text in (one, two):
        for read in (parse_tokens, parse_bytes, parse_seconds):
            assert isinstance(read(text), (int, float, QuantityFault))
