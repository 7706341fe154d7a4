"""A confusion matrix as a PNG, with numpy alone: no plotting library has to be downloaded for one picture.

Format: PNG specification (third edition), 8-bit RGB, one IDAT chunk, filter 0 on every row.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

CELL, MARGIN = 40, 44
"""Pixels."""
DOT = 2
DARK, PAPER = np.array([31, 41, 55]), np.array([255, 255, 255])
GOOD, BAD = np.array([22, 101, 52]), np.array([185, 28, 28])
FONT = (
    "111101101101111",
    "010110010010111",
    "111001111100111",
    "111001111001111",
    "101101111001001",
    "111100111001111",
    "111100111101111",
    "111001001001001",
    "111101111101111",
    "111101111001111",
)
"""Digits of 3 x 5 dots, row by row."""


def heatmap(counts: np.ndarray) -> np.ndarray:
    """Rows are what was written, columns what the model said: green on the diagonal, red beside it."""
    size = len(counts)
    edge = MARGIN + size * CELL + 4
    picture = np.empty((edge, edge, 3), dtype=np.uint8)
    picture[:] = PAPER
    for row in range(size):
        _number(picture, MARGIN // 2, MARGIN + row * CELL + CELL // 2, row, DARK)
        _number(picture, MARGIN + row * CELL + CELL // 2, MARGIN // 2, row, DARK)
        for column in range(size):
            _cell(picture, counts, row, column)
    return picture


def _cell(picture: np.ndarray, counts: np.ndarray, row: int, column: int) -> None:
    count, most = int(counts[row, column]), max(1, int(counts[row].sum()))
    share = count / most if row == column else min(1.0, 4 * count / most)
    colour = PAPER + (share * ((GOOD if row == column else BAD) - PAPER)).astype(int)
    top, left = MARGIN + row * CELL, MARGIN + column * CELL
    picture[top : top + CELL - 1, left : left + CELL - 1] = colour if count else PAPER - 8
    if count:
        _number(picture, left + CELL // 2, top + CELL // 2, count, PAPER if share > 0.5 else DARK)


def _number(picture: np.ndarray, x: int, y: int, number: int, colour: np.ndarray) -> None:
    """`number` with its middle at (x, y)."""
    digits = str(number)
    left = x - (4 * len(digits) - 1) * DOT // 2
    for place, digit in enumerate(digits):
        for index, dot in enumerate(FONT[int(digit)]):
            if dot == "1":
                row, column = y + (index // 3) * DOT - 5, left + (4 * place + index % 3) * DOT
                picture[row : row + DOT, column : column + DOT] = colour


def png(picture: np.ndarray) -> bytes:
    height, width, _ = picture.shape
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
