"""Every case: its name, what it measures, and the function that its own process calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS = "emomusic"
CLIP, BATCH = "one clip", "32 clips"
N_BATCH = 32
NETWORK, PATH = "networks", "the whole path"


@dataclass(frozen=True)
class Case:
    """Name one thing that is measured.

    Attributes:
        name: Its name, parts by slashes.
        about: What it measures.
        module: Below `benchmarks`; its `NEEDS` names the libraries that must be there.
        function: Called with a `Bench` and the settings.
        settings: Keyword arguments.
        threads: CPU threads, also by environment.
        group: Under which heading it stands.
        peer: Who is measured; variants of one peer at one work are compared by the best.
        work: What is written; empty where nothing is compared.
        headline: The metric by which variants are compared.
        quick: Whether it is part of a quick run.
    """

    name: str
    about: str
    module: str
    function: str = "measure"
    settings: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    group: str = NETWORK
    peer: str = OURS
    work: str = ""
    headline: str = "ids"
    quick: bool = False

    @property
    def family(self) -> tuple[str, str]:
        """Return what its variants share: the peer and the work."""
        return self.peer, self.work or self.name


@dataclass(frozen=True)
class Peer:
    """Hold a peer and its variants.

    Attributes:
        name: Its name.
        module: Below `benchmarks.peers`.
        about: What it is.
        variants: Settings of each variant; the first is the one of a quick run.
        headline: The metric by which it is compared.
        batched: The variants that also write 32 clips at once, by their place.
    """

    name: str
    module: str
    about: str
    variants: tuple[Mapping[str, Any], ...] = ({},)
    headline: str = "ids"
    batched: tuple[int, ...] = ()


BFLOAT, FLOAT = {"dtype": "bfloat16"}, {"dtype": "float32"}
PEERS = (
    Peer(OURS, "emomusic_engine", "the engine that emomusic composes with", batched=(0,)),
    Peer(
        "emomusic-torch",
        "emomusic_engine",
        "the engine that needs no compiler",
        ({"engine": "torch"},),
        batched=(0,),
    ),
    Peer("torch", "torch_eager", "our network in eager torch", (BFLOAT, FLOAT), batched=(0, 1)),
    Peer(
        "transformers",
        "transformers_generate",
        "generate of transformers, same weights",
        (
            BFLOAT | {"cache": "dynamic"},
            FLOAT | {"cache": "dynamic"},
            BFLOAT | {"cache": "static"},
            FLOAT | {"cache": "static"},
        ),
        batched=(0, 1),
    ),
    Peer(
        "onnxruntime",
        "onnx_int8",
        "ONNX Runtime, int8, same weights",
        ({"quantisation": "dynamic"}, {"quantisation": "blockwise"}),
        batched=(0, 1),
    ),
    Peer("llama.cpp", "llama_cpp", "llama.cpp, q8_0, same weights", batched=(0,)),
    Peer(
        "midi-model",
        "midi_model",
        "a network of the size of SkyTNT's tv2o-medium, random weights",
        (BFLOAT, FLOAT),
        headline="notes",
    ),
    Peer(
        "emogen",
        "emogen",
        "a network of EmoGen's size, as published",
        (BFLOAT, FLOAT),
        headline="notes",
    ),
    Peer(
        "emogen-recurrent",
        "emogen",
        "the same with the state that the published decoder lacks",
        (FLOAT | {"decoding": "recurrent"}, BFLOAT | {"decoding": "recurrent"}),
        headline="notes",
    ),
)


def all_cases(threads: Sequence[int]) -> list[Case]:
    """Return every case, for each number of threads that matters to it.

    Raises:
        ValueError: If a number of threads is below 1 or none is given.
    """
    if not threads or min(threads) < 1:
        raise ValueError(f"threads must be at least 1, got {list(threads)}")
    most = max(threads)
    found = [case for peer in PEERS for n in threads for case in _clip_cases(peer, n)]
    found += [case for peer in PEERS for n in threads for case in _batch_cases(peer, n, most)]
    return [*found, *_path_cases(most)]


def _name(peer: Peer, settings: Mapping[str, Any], threads: int, work: str) -> str:
    parts = [peer.name, *(str(value) for value in settings.values()), work]
    return "/".join([*(part.replace(" ", "-") for part in parts), f"{threads}t"])


def _clip_cases(peer: Peer, threads: int) -> list[Case]:
    return [
        Case(
            _name(peer, settings, threads, CLIP),
            peer.about,
            f"peers.{peer.module}",
            settings=settings,
            threads=threads,
            peer=peer.name,
            work=CLIP,
            headline=peer.headline,
            quick=threads == 1 and at == 0,
        )
        for at, settings in enumerate(peer.variants)
    ]


def _batch_cases(peer: Peer, threads: int, most: int) -> list[Case]:
    if threads != most and peer.name != OURS:
        return []
    return [
        Case(
            _name(peer, peer.variants[at], threads, BATCH),
            peer.about,
            f"peers.{peer.module}",
            settings={**peer.variants[at], "n_clips": N_BATCH},
            threads=threads,
            peer=peer.name,
            work=BATCH,
            quick=peer.name == OURS and threads == most,
        )
        for at in peer.batched
    ]


def _path_cases(most: int) -> list[Case]:
    def path(name: str, about: str, module: str, function: str = "measure", **more: Any) -> Case:
        threads = more.pop("threads", most)
        quick = more.pop("quick", True)
        return Case(name, about, module, function, more, threads, group=PATH, quick=quick)

    return [
        path("help", "`emomusic --help`", "path.command", "measure_help"),
        path("cold", "`generate --count 1 --bars 16`, whole process", "path.command"),
        path("further", "`generate --bars 16`, a further clip", "path.command", "measure_further"),
        path("clips", "clips of 16 bars, written and judged, warm", "path.clips"),
        path("clips/base", "clips with the network compared, by their ids", "path.clips",
             "measure_base"),
        path("bars", "one clip of more and more bars, warm", "path.clips", "measure_bars"),
        path("context", "ids a second after more and more ids", "peers.emomusic_engine",
             "measure_contexts", quick=False),
        path("judging", "reading, measuring and judging a file", "path.judging", threads=1),
        path("prepare", "preparing MIDI files to train on", "path.training", "measure_prepare"),
        path("train/small", "training", "path.training", "measure_train", size="small"),
        path("train/base", "training", "path.training", "measure_train", size="base", quick=False),
    ]  # fmt: skip
