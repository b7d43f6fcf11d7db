"""Digits and their predictions as SVG."""

from collections.abc import Sequence
from html import escape

import numpy as np

COLUMNS, ROWS = 15, 3
PIXEL = 5                       # of an image, in SVG units
CELL_X, CELL_Y = 52, 66
MARGIN, TITLE_Y, LINE = 16, 28, 19
SIDE = 8                        # pixels of an image
LEVELS = 16                     # of grey


def draw(images: np.ndarray, labels: np.ndarray, predictions: np.ndarray, title: str,
         lines: Sequence[str]) -> str:
    """Draw the first images with their predictions, wrong ones in red, and lines of text below.

    Parameters
    ----------
    images : float array, shape (images, 64)
        Ink, 0 to 1.
    labels, predictions : integer arrays, shape (images,)
    title : str
    lines : sequence of str
    """
    top = TITLE_Y + 18
    width = 2 * MARGIN + COLUMNS * CELL_X
    text_y = top + ROWS * CELL_Y + 10
    height = text_y + LINE * len(lines) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="{TITLE_Y}" font-size="16" font-weight="bold" fill="#1a2733">'
        f'{escape(title)}</text>',
    ]
    for index in range(min(COLUMNS * ROWS, len(images))):
        x = MARGIN + index % COLUMNS * CELL_X
        y = top + index // COLUMNS * CELL_Y
        label, prediction = int(labels[index]), int(predictions[index])
        right = label == prediction
        caption = str(prediction) if right else f"{prediction}, is {label}"
        colour = "#1f7a4d" if right else "#c0392b"
        parts.append(f'<g transform="translate({x} {y})">')
        parts.append(f'<g transform="scale({PIXEL})" fill="#1a2733">'
                     f'<rect width="{SIDE}" height="{SIDE}" fill="#eef1f4"/>')
        parts.extend(_pixels(images[index].reshape(SIDE, SIDE)))
        parts.append(f'</g><text x="{SIDE * PIXEL // 2}" y="54" text-anchor="middle" '
                     f'fill="{colour}">{caption}</text></g>')
    parts.extend(f'<text x="{MARGIN}" y="{text_y + LINE * (number + 1) - 8}" fill="#1a2733">'
                 f'{escape(line)}</text>' for number, line in enumerate(lines))
    return "\n".join([*parts, "</svg>", ""])


def _pixels(image: np.ndarray) -> list[str]:
    levels = np.rint(image * LEVELS).astype(int)
    return [f'<path fill-opacity="{level / LEVELS:g}" d="'
            + "".join(f"M{column} {row}h1v1h-1z" for row, column in np.argwhere(levels == level))
            + '"/>'
            for level in np.unique(levels[levels > 0])]
