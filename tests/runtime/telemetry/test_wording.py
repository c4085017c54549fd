import math

import pytest

from runtime.telemetry.wording import change, duration, number, one_line, sparkline, tick_label


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (0.000012, "1.2e-05"),
        (0.0421, "0.0421"),
        (-0.5, "-0.500"),
        (34.25, "34.2"),
        (12345.6, "12,346"),
        (None, "-"),
        (math.nan, "-"),
    ],
)
def test_numbers_are_short(value: float | None, words: str):
    assert number(value) == words


@pytest.mark.parametrize(("value", "words"), [(0.0, "0"), (0.25, "0.25"), (1500.0, "1,500"), (1e-6, "1e-06")])
def test_tick_labels_have_no_needless_zeros(value: float, words: str):
    assert tick_label(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (1.44, "1.4s"),
        (9.97, "10s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (185, "3m 05s"),
        (7620, "2h 07m"),
        (273_600, "3d 04h"),
        (-3, "0s"),
    ],
)
def test_durations_are_in_their_two_largest_units(seconds: float, words: str):
    assert duration(seconds) == words


def test_a_change_carries_its_sign():
    assert change(0.3, since=0.1) == "+0.200"
    assert change(0.1, since=0.3) == "-0.200"
    assert change(0.1, since=None) == ""


def test_a_sparkline_spans_from_the_lowest_to_the_highest_bar():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], width=8) == "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
    assert sparkline([3, 3, 3], width=8) == "\u2581" * 3
    assert sparkline([math.nan], width=8) == ""


def test_a_sparkline_averages_what_does_not_fit():
    assert sparkline([0, 2, 8, 8, 15, 15], width=3) == sparkline([1, 8, 15], width=3)
    assert len(sparkline(list(range(1000)), width=37)) == 37


def test_a_sampled_text_cannot_steer_the_terminal():
    assert one_line("a\x1b[2Jb\r\x07", length=80) == "a?[2Jb??"


def test_a_long_text_loses_its_middle():
    shown = one_line("start" + "x" * 200 + "the end", length=40)
    assert len(shown) == 40
    assert shown.startswith("start")
    assert shown.endswith("the end")
