"""The evaluation of a checkpoint: sections measured one by one, tables and pictures of them."""
