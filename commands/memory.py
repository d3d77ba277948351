"""Refuses to begin where a process may use so little memory that native libraries would crash or hang."""

import os

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]

# Bytes that the libraries need, tried with two processors: what reads videos and computes flow, and TensorFlow. Each
# thread of theirs reserves more.
LIBRARIES, TENSORFLOW, A_THREAD = 3 * 2**29, 3 * 2**30, 2**26


def lacking(needed: int) -> str:
    """Returns a sentence if this process may use less memory than that, and nothing if it may."""
    needed += A_THREAD * (os.cpu_count() or 1)
    if resource is None:
        return ""
    for letter, kind in (("v", resource.RLIMIT_AS), ("d", resource.RLIMIT_DATA)):
        allowed = resource.getrlimit(kind)[0]
        if allowed != resource.RLIM_INFINITY and allowed < needed:
            return (
                f"This process may use {allowed / 2**30:.2f} GiB of memory (ulimit -{letter}), and needs at least "
                f"{needed / 2**30:.2f}. Allow more: ulimit -{letter} {needed // 1024}, or unlimited."
            )
    return ""
