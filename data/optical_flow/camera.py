"""The camera's own motion between two frames, and a second frame without it.

As in improved trajectories (Wang and Schmid, 2013): corners are followed from frame to frame, a homography
is fitted to most of them by RANSAC, and the second frame is warped back by it. What moves then, moves in the world.
"""

from __future__ import annotations

import cv2
import numpy as np

# With fewer corners than this in agreement, what agrees may well be one actor: the camera counts as still.
FEWEST_INLIERS = 25


def camera_motion(
    first: np.ndarray, second: np.ndarray, corners: int = 800, inlier_distance: float = 1.0
) -> np.ndarray:
    """Returns the homography [3, 3] of the background from the first uint8 grey frame to the second."""
    still = np.eye(3)
    found = cv2.goodFeaturesToTrack(first, corners, qualityLevel=0.001, minDistance=6)
    if found is None:
        return still
    moved, followed, _ = cv2.calcOpticalFlowPyrLK(first, second, found, np.empty_like(found))
    kept = followed.ravel() == 1
    if kept.sum() < FEWEST_INLIERS:
        return still
    # OpenCV seeds RANSAC the same on each call, so the same frames give the same motion.
    motion, inliers = cv2.findHomography(found[kept], moved[kept], cv2.RANSAC, inlier_distance)
    return still if motion is None or inliers.sum() < FEWEST_INLIERS else motion


def without_camera_motion(first: np.ndarray, second: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Returns the second grey frame as a camera that stood still would have seen it.

    Where the moving camera saw nothing, it repeats the first frame: nothing is known to move there.
    """
    height, width = second.shape
    back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    steady = cv2.warpPerspective(second, motion, (width, height), flags=back, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpPerspective(np.ones_like(second), motion, (width, height), flags=back)
    return np.where(seen > 0.999, steady, first)
