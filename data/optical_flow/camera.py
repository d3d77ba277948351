"""Estimates the motion of the camera between two frames, and removes it from the second frame.

As in improved dense trajectories (Wang and Schmid, 2013), corners are tracked, RANSAC fits a homography to most of
them, and the second frame is warped back by it. Motion that remains is motion in the scene.
"""

from __future__ import annotations

import cv2
import numpy as np

# With fewer inliers than this, the homography may describe a single actor, so the camera is assumed to stand still.
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
    # OpenCV seeds RANSAC anew for each call, so the same frames always give the same motion.
    motion, inliers = cv2.findHomography(found[kept], moved[kept], cv2.RANSAC, inlier_distance)
    return still if motion is None or inliers.sum() < FEWEST_INLIERS else motion


def without_camera_motion(first: np.ndarray, second: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Returns the second grey frame as a still camera would have seen it.

    Pixels outside the view of the moving camera are copied from the first frame, so no motion is found there.
    """
    height, width = second.shape
    back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    steady = cv2.warpPerspective(second, motion, (width, height), flags=back, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpPerspective(np.ones_like(second), motion, (width, height), flags=back)
    return np.where(seen > 0.999, steady, first)
