# A service that says what happens in videos; docs/deploy.md has the commands. For a GPU: --build-arg EXTRAS=serve,gpu
FROM python:3.13-slim AS build
ARG EXTRAS=serve
WORKDIR /source
COPY . .
RUN python -m venv /opt/two-stream && /opt/two-stream/bin/pip install --no-cache-dir ".[${EXTRAS}]"

FROM python:3.13-slim
COPY --from=build /opt/two-stream /opt/two-stream
# Compiled kernels of optical flow are kept in the home folder of this user.
RUN useradd --create-home --uid 10001 two-stream
USER 10001
WORKDIR /home/two-stream
ENV PATH="/opt/two-stream/bin:${PATH}"
EXPOSE 8808
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8808/health')"]
ENTRYPOINT ["two-stream"]
CMD ["serve", "--host", "0.0.0.0", "--token-file", "/run/secrets/token", "--model", "/models/two_stream.keras"]
