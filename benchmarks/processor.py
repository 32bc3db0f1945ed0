"""What this machine's processor can do."""

from genenet.networks.device import processor


def bfloat16_instructions():
    """Return those that the processor has; one that has none emulates bfloat16, ten times as slowly."""
    return sorted(processor() & {"avx512_bf16", "amx_bf16"})
