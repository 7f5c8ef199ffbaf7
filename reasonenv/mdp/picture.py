"""A transcript as a picture, which recorders of videos take frame by frame."""

from __future__ import annotations

import textwrap

import numpy as np
import numpy.typing as npt

from reasonenv.errors import UserError

COLUMNS, ROWS = 96, 32  # characters of a line, and lines
SIZE = 14  # of the letters, in pixels


def picture(text: str) -> npt.NDArray[np.uint8]:
    """A text in black on white, always of one size: long lines are wrapped, and of many lines the last are shown.

    Returns [H, W, 3]. Raises `UserError` where Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise UserError(
            "render_mode='rgb_array' needs Pillow; pip install 'reasonenv[plots]', or take render_mode='ansi'"
        ) from error
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, COLUMNS) or [""]
    image = Image.new("RGB", (COLUMNS * SIZE * 2 // 3, (ROWS + 1) * SIZE * 4 // 3), "white")
    shown = "\n".join(lines[-ROWS:])
    ImageDraw.Draw(image).multiline_text((SIZE, SIZE // 2), shown, fill="black", font=ImageFont.load_default(SIZE))
    return np.asarray(image)
