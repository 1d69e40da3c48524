"""What holds of all shapes, layouts and configs, tried on drawn ones."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import LAYOUT, V

from emomusic.model.events import EventLayout
from emomusic.model.grammar import Grammar
from emomusic.model.shape import MAX_PARAMETERS, ModelConfig, tensor_shapes
from emomusic.model.weights import FORMAT, CheckpointError, read_shape

QUIETLY = settings(max_examples=60, deadline=None, database=None, derandomize=True)
MODEL = {"vocab_size": V, "layout": LAYOUT.to_dict()}
NAMES = [field.name for field in fields(ModelConfig)]
VALUES = st.one_of(
    st.sampled_from((1, 2, 4, 8, 64, 128, 512, 10**6, 10**9, 0, -1)),
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)


@QUIETLY
@given(st.dictionaries(st.sampled_from([*NAMES, "colour"]), VALUES))
def test_a_config_is_a_model_within_bounds_or_refused(values: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        config = {"format": FORMAT, "model": MODEL | values, "weights": []}
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        try:
            shape, names = read_shape(Path(folder))
        except CheckpointError as error:
            assert "\n" not in str(error)
            return
        assert names == [] and ModelConfig.from_dict(shape.to_dict()) == shape
        n_numbers = sum(int(np.prod(own)) for own in tensor_shapes(shape).values())
        assert n_numbers == shape.n_parameters <= MAX_PARAMETERS


@QUIETLY
@given(st.sampled_from([field.name for field in fields(EventLayout)]), VALUES)
def test_a_layout_is_one_that_works_or_refused(name: str, value: Any) -> None:
    try:
        layout = EventLayout.from_dict({**LAYOUT.to_dict(), name: value})
        ModelConfig(V, layout)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    grammar = Grammar(V, layout)
    assert EventLayout.from_dict(layout.to_dict()) == layout
    assert [len(ids) for ids in grammar.slot_ids] == list(layout.n_choices)
    assert len({*np.concatenate(grammar.slot_ids).tolist()}) == sum(layout.n_choices)
    assert grammar.kinds.shape == layout.choices(V).shape == (V,)
