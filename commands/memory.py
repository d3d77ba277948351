"""Refuses to begin where a process may use so little memory that native libraries would crash or hang."""

import os

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]

# Bytes that the libraries need, measured with two processors: for reading videos and computing flow, and with
# TensorFlow. Each of their threads reserves more.
LIBRARIES, TENSORFLOW, A_THREAD = 3 * 2**29, 3 * 2**30, 2**26


def lacking(needed: int) -> str:
    """Returns a sentence if this process may use less memory than `needed`, or "" if it may use as much."""
    needed += A_THREAD * (os.cpu_count() or 1)
    if resource is None:
        return ""
    for letter, kind in (("v", resource.RLIMIT_AS), ("d", resource.RLIMIT_DATA)):
        allowed = resource.getrlimit(kind)[0]
        if allowed != resource.RLIM_INFINITY and allowed < needed:
            return (
                f"This process may use {allowed / 2**30:.2f} GiB of memory (ulimit -{letter}), but needs at least "
                f"{needed / 2**30:.2f}. Allow more: ulimit -{letter} {needed // 1024}, or unlimited."
            )
    return ""
