"""Names that people give to classes and files: compare them, and show them."""

import unicodedata

_CONTROL = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # Unicode categories that are not shown
_JOINERS = "\u200c\u200d"  # part of Persian and Indic words, and of emoji


def nfc(name: str) -> str:
    """Return the composed Unicode form of a name, in which equal names are equal strings."""
    return unicodedata.normalize("NFC", name)


def printable(text: str) -> str:
    """Escape line breaks, terminal controls and other invisible characters of a name."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _CONTROL and character not in _JOINERS
        else character
        for character in text
    )
