"""Engines that write ids with a model: one interface, a reference and faster ones."""
