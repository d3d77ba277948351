"""An OpenCV that crashes, hangs or is killed on some videos, as real ones have been seen to; for workers to import."""

import os
import signal
import threading
from pathlib import Path

import cv2

from data.extraction.one_video import extract_video

real_capture = cv2.VideoCapture


class BadCapture:
    def __init__(self, path, *rest):
        self.path, self.real = path, real_capture(path, *rest)

    def __getattr__(self, name):
        return getattr(self.real, name)

    def read(self):
        if "crash" in Path(self.path).stem:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "killed" in Path(self.path).stem:
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in Path(self.path).stem:
            threading.Event().wait()
        return self.real.read()


def extract_with_bad_decoder(job, show_life):
    cv2.VideoCapture = BadCapture
    return extract_video(job, show_life)
