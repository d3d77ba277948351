"""Serves predictions: a page to drop videos on, and POST /predict for programs. By default, only for this machine.

./run serve --dataset ucf101
./run serve --host 0.0.0.0 --token-file token --certificate cert.pem --key key.pem --workers 2
./run serve --spatial spatial.keras --temporal temporal.keras
"""

import argparse
import importlib.util
import signal
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import scratch_folder
from commands.help_page import Layout
from commands.options import Parser, positive
from commands.running import run
from commands.waiting import Now
from fusion.prediction.chosen_models import add_model_options, model_files
from fusion.serving.access import Access, is_this_machine, read_token
from fusion.serving.limits import Limits
from fusion.serving.worker import Worker

NEEDS = ("fastapi", "uvicorn", "python_multipart")
HERE, EVERYWHERE = "127.0.0.1", ("0.0.0.0", "::")

# The options on the page of `--help`. The others are on that of `--help-all`.
_FIRST = (
    *("spatial", "temporal", "model", "dataset", "fusion", "host", "port", "token_file", "certificate", "key"),
    *("workers", "megabytes", "duration"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Starts the workers and the service, and runs until it is stopped."""
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
        per_minute=options.per_minute,
    )
    access = Access(read_token(options.token_file) if options.token_file else "", limits.per_minute)
    # On SIGTERM, ends as on Ctrl-C, so that the temporary folder is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _listening(options.host, options.port) as listener, scratch_folder() as folder:
        models = model_files(options)
        workers = [Worker(models, options.method, limits, folder, options.fusion) for _ in range(options.workers)]
        try:
            _start(workers)
            application = create_application(workers, limits, folder, _names(options), access)
            Now.doing = ""  # From here on, it waits for clients.
            place = (
                f", listening at {listener.getsockname()[0]} port {listener.getsockname()[1]}" if options.origin else ""
            )
            print(f"Open {_address(options, listener)}{place} (Ctrl-C stops).", flush=True)
            tls = {"certificate": options.certificate, "key": options.key}
            uvicorn.Server(configuration(application, limits, proxies=options.proxy, **tls)).run(sockets=[listener])
        finally:
            for worker in workers:
                worker.stop()


def _start(workers: Sequence[Worker]) -> None:
    Now.doing = "Loading the models"
    print(f"Loading the models{f' in {len(workers)} processes' if len(workers) > 1 else ''} ...", flush=True)
    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(Worker.start, workers))
    described = workers[0].described
    for line in (described["fusion"], described["judged"]):
        if line:
            print(line, flush=True)


def _names(options: argparse.Namespace) -> tuple[str, ...]:
    """Returns the host names that requests may use for this service; none means any, if it listens at all addresses."""
    origin = urlsplit(options.origin).hostname if options.origin else None
    if origin is None and not is_this_machine(options.host):
        return () if options.host in EVERYWHERE else (_bracketed(options.host),)
    return (*((HERE, "localhost", "[::1]") if is_this_machine(options.host) else ()), *((origin,) if origin else ()))


def _address(options: argparse.Namespace, listener: socket.socket) -> str:
    if options.origin:
        return str(options.origin)
    scheme = "https" if options.certificate else "http"
    return f"{scheme}://{_bracketed(options.host)}:{listener.getsockname()[1]}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int) -> socket.socket:
    """Returns a socket at an address."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # From here on, clients that come while the service starts are not refused.
    except (OSError, OverflowError) as error:
        listener.close()
        raise ValueError(
            f"Port {port} of {host} can't be used: {error}. Pass another --port, or 0 for any, or another --host."
        ) from error
    return listener


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__, Layout(first=_FIRST))
    add_model_options(parser)
    _add_access(parser.add_argument_group("access"))
    limits = Limits()
    add = parser.add_argument_group("workers and limits").add_argument
    add("--workers", type=positive, default=1, metavar="N", help="processes that predict videos from one queue")
    add(
        "--queue",
        type=int,
        default=limits.queue,
        metavar="N",
        help="videos that may be in the queue; more are refused until one is finished",
    )
    add("--megabytes", type=float, default=limits.megabytes, metavar="N", help="largest upload in megabytes")
    add("--duration", type=float, default=limits.duration, metavar="SECONDS", help="longest video in seconds")
    add("--most-megapixels", type=float, default=limits.megapixels, metavar="N", help="largest frame in megapixels")
    add("--seconds", type=float, default=limits.seconds, metavar="SECONDS", help="time limit for predicting one video")
    words = "time limit for uploading one video"
    add("--upload-seconds", type=float, default=limits.upload_seconds, metavar="SECONDS", help=words)
    words = "videos that one client may send in a minute, with --token-file"
    add("--per-minute", type=positive, default=limits.per_minute, metavar="N", help=words)
    options = parser.parse_args(argv)
    if not is_this_machine(options.host) and not options.token_file:
        parser.error(
            f"--host {options.host} lets other machines in, so --token-file FILE must name a file with a token. Make "
            "one: openssl rand -hex 32 > token"
        )
    if options.origin and not _is_origin(options.origin):
        parser.error(f"--origin must be like https://videos.example, without a path; received {options.origin}")
    if bool(options.certificate) != bool(options.key):
        parser.error("--certificate and --key must be given together")
    for path in (options.certificate, options.key):
        if path and not path.is_file():
            parser.error(f"there is no file {path}")
    return options


def _add_access(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--host", default=HERE, metavar="ADDRESS", help="address to listen at; any but this machine's needs a token")
    add("--port", type=int, default=8808, metavar="N", help="port to listen at; 0 takes a free one")
    add("--token-file", type=Path, metavar="FILE", help="file with the token that requests must send")
    add("--origin", metavar="ADDRESS", help="public address of the page, like https://videos.example")
    add("--certificate", type=Path, metavar="FILE", help="serve over TLS with this certificate, in PEM format")
    add("--key", type=Path, metavar="FILE", help="private key of the certificate")
    words = "a proxy that is trusted to name its clients (X-Forwarded-For); can be repeated"
    add("--proxy", action="append", default=[], metavar="ADDRESS", help=words)


def _is_origin(word: str) -> bool:
    parts = urlsplit(word)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and word == f"{parts.scheme}://{parts.netloc}"


if __name__ == "__main__":
    run(main)
