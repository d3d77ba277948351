"""Collects views until a network can take a batch of them, and pairs the views of two streams."""

from collections.abc import Mapping

import numpy as np

from fusion.prediction.views import View, Wanted


class ViewQueue:
    """The views for one network, of one stream or of several. It scores each combination once."""

    def __init__(self, wanted: Mapping[str, Wanted]) -> None:
        self._place_of = {stream: place for place, stream in enumerate(wanted)}
        requests = list(wanted.values())
        # With a view every few seconds, there may be one more view of frames than of flow.
        starts = [np.asarray(request.starts) for request in requests]
        of_view = [np.arange(len(each))[request.of_view] for each, request in zip(starts, requests, strict=True)]
        shortest = min(map(len, of_view))
        together = np.stack([each[:shortest] for each in of_view])
        self._views, inverse = np.unique(together, axis=1, return_inverse=True)
        self.of_view = inverse.reshape(-1)
        # The last stream gives the time of a view. Flow always is the last, and the frames of a view lie in its stack.
        middles = starts[-1] + requests[-1].clip.span / 2
        self.middles: np.ndarray = middles[together[-1]]
        self.half_span = requests[-1].clip.span / 2
        self._held: list[dict[int, np.ndarray]] = [{} for _ in requests]
        self._next = 0

    def add(self, view: View) -> None:
        """Adds a view if it belongs to a stream of the network."""
        if view.stream in self._place_of:
            self._held[self._place_of[view.stream]][view.number] = view.pixels

    def batch(self, least: int, most: int) -> list[np.ndarray]:
        """Returns the next views of each stream, [views, H, W, channels] each, or nothing if too few are ready."""
        numbers = self._views[:, self._next : self._next + most]
        whole = 0
        while whole < numbers.shape[1] and all(
            number in held for number, held in zip(numbers[:, whole], self._held, strict=True)
        ):
            whole += 1
        if whole < least:
            return []
        stacks = [
            np.stack([held[number] for number in row[:whole]]) for row, held in zip(numbers, self._held, strict=True)
        ]
        self._next += whole
        for place, held in enumerate(self._held):
            # Views that are not needed again are dropped, so that memory does not grow with the video.
            still = self._views[place, self._next :]
            for number in [number for number in held if not len(still) or number < still[0]]:
                del held[number]
        return stacks
