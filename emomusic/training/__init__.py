"""Packed rows to a checkpoint; needs only torch, numpy and safetensors."""
