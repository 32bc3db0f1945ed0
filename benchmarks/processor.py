"""What this machine's processor can do."""

from pathlib import Path


def has_bfloat16():
    """Return whether the processor computes in bfloat16; one that doesn't emulates it, ten times as slowly."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    return bool(flags & {"avx512_bf16", "amx_bf16"})
