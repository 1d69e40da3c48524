"""The data from its public homes: fetched, unpacked, laid out."""
