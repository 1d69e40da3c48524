"""What is installed only with an extra: `pip install "emomusic[audio]"` and the like."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS: dict[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "audio": ("soundfile",),  # and midirenderer for soundfonts, where it has a wheel
    "notation": ("music21", "verovio"),
    "pretty_midi": ("pretty_midi",),
    "pictures": ("matplotlib",),
    "hub": ("huggingface_hub",),
    "studio": ("gradio",),
    "train": ("miditok", "scipy", "sklearn"),
    "mcp": ("mcp",),
    "parquet": ("pyarrow",),
}
"""Packages by the extra that installs them; `studio` and `train` install other extras, too."""


class MissingExtraError(ImportError):
    """A package that an ability needs is not installed; its text is one sentence."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package}: pip install 'emomusic[{extra}]'", name=package
        )


def need(extra: str) -> None:
    """Check that all of an extra is there, before work is done that would be lost without it.

    Raises:
        MissingExtraError: If a package is missing.
    """
    for package in EXTRAS[extra]:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)


def missing_extra(error: ImportError) -> MissingExtraError | None:
    """Return what a failed import means, if it is of a package that an extra installs."""
    package = (error.name or "").partition(".")[0]
    found = [extra for extra, packages in EXTRAS.items() if package in packages]
    return MissingExtraError(package, found[0]) if found else None
