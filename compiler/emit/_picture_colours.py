"""Colours of a picture: one for each thing that is drawn, and ink that can be read on it.

Source of the contrast: WCAG 2.2, relative luminance and contrast ratio.
"""

from __future__ import annotations

_PALETTE = (
    "#4269d0",
    "#efb118",
    "#ff725c",
    "#6cc5b0",
    "#3ca951",
    "#ff8ab7",
    "#a463f2",
    "#97bbf5",
    "#9c6b4e",
    "#9498a0",
)
_WHITE, _BLACK = "#ffffff", "#111111"
_LIGHTER, _DARKER = 0.55, 0.45  # shares of white, and of black, in the colours of a second and a third round


def colour_of(index: int) -> str:
    """Return the colour of the thing of this number: ten of the palette, the same ones lighter, and darker."""
    turn, place = divmod(index, len(_PALETTE))
    colour = _PALETTE[place]
    if turn % 3 == 0:
        return colour
    toward, share = (255, _LIGHTER) if turn % 3 == 1 else (0, _DARKER)
    return "#" + "".join(f"{round(part + (toward - part) * share):02x}" for part in _parts(colour))


def ink_on(colour: str) -> str:
    """Return black or white, whichever contrasts more with a colour."""
    return max((_BLACK, _WHITE), key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """Return the ratio of contrast of two colours, 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (part / 255 for part in _parts(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
