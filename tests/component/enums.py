"""Enums whose members are numbers or texts themselves, as modules write them."""

import enum


class Level(enum.IntEnum):
    HIGH = 3


class Tone(str, enum.Enum):  # noqa: UP042 - as modules for older Pythons write it
    WARM = "warm"


class Word(enum.StrEnum):
    YES = "yes"
