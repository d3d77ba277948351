"""Serves predictions on this machine: a page to drop videos on, and POST /predict for programs.

./run serve --dataset ucf101
./run serve --spatial spatial.keras --temporal temporal.keras
"""

import argparse
import importlib.util
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import scratch_folder
from commands.options import Parser
from commands.running import run
from commands.waiting import Now
from fusion.prediction.chosen_models import add_model_options, model_files
from fusion.serving.limits import Limits
from fusion.serving.worker import Worker

NEEDS = ("fastapi", "uvicorn", "python_multipart")
HERE = "127.0.0.1"


def main(argv: Sequence[str] | None = None) -> None:
    """Starts the worker, then the service, and runs until it is stopped."""
    options = _parse(argv)
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"The service needs {', '.join(missing)}: pip install -r requirements-serve.txt")
    import uvicorn

    from fusion.serving.application import configuration, create_application

    limits = Limits(
        queue=options.queue,
        megabytes=options.megabytes,
        duration=options.duration,
        megapixels=options.most_megapixels,
        seconds=options.seconds,
        upload_seconds=options.upload_seconds,
    )
    # Ends as Ctrl-C does, so that what lies in the temporary folder goes, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _listening(options.port) as listener, scratch_folder() as folder:
        worker = Worker(model_files(options), options.method, limits, folder, options.fusion)
        try:
            Now.doing = "Loading the models"
            print("Loading the models ...", flush=True)
            worker.start()
            if worker.fusion:
                print(worker.fusion, flush=True)
            application = create_application(worker, limits, folder, (HERE, "localhost"))
            Now.doing = ""  # From here on it waits for others.
            print(f"Open http://{HERE}:{listener.getsockname()[1]} (Ctrl-C stops).", flush=True)
            uvicorn.Server(configuration(application, limits)).run(sockets=[listener])
        finally:
            worker.stop()


def _listening(port: int) -> socket.socket:
    """Returns a socket that only this machine can reach."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HERE, port))
        listener.listen(128)  # From here on nobody is refused who comes while the service starts.
    except (OSError, OverflowError) as error:
        listener.close()
        raise ValueError(f"Port {port} can't be used: {error}. Pass another --port, or 0 for any.") from error
    return listener


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    add_model_options(parser)
    limits = Limits()
    service = parser.add_argument_group("what is served, and how much of it")
    service.add_argument(
        "--port", type=int, default=8808, metavar="N", help="where to listen on this machine; 0 takes a free one"
    )
    service.add_argument(
        "--queue",
        type=int,
        default=limits.queue,
        metavar="N",
        help="videos that may wait; more are refused for the moment",
    )
    service.add_argument(
        "--megabytes", type=float, default=limits.megabytes, metavar="N", help="largest upload in megabytes"
    )
    service.add_argument(
        "--duration", type=float, default=limits.duration, metavar="SECONDS", help="longest video in seconds"
    )
    service.add_argument(
        "--most-megapixels", type=float, default=limits.megapixels, metavar="N", help="largest frame in megapixels"
    )
    service.add_argument(
        "--seconds", type=float, default=limits.seconds, metavar="SECONDS", help="time limit for predicting one video"
    )
    service.add_argument(
        "--upload-seconds",
        type=float,
        default=limits.upload_seconds,
        metavar="SECONDS",
        help="time limit for uploading one video",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
