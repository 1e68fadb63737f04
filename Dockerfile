# Images of the server, with the default model inside.
#
#   docker build -t pixpool .                    CPU; runs as 65532 with a read-only root, no compiler and no Python inside
#   docker build -t pixpool:cuda --target cuda .   CUDA: the same server on PyTorch's CUDA libraries
#   docker run --rm --read-only -p 50051:50051 -p 8080:8080 pixpool
#
# deploy/docker/test builds and runs the CPU image where there is no Docker engine.
ARG DEBIAN=docker.io/library/debian:12-slim

# What both builds share: Debian's packages, by the lists that ./run uses.
FROM ${DEBIAN} AS packages
WORKDIR /src
ENV XDG_CACHE_HOME=/cache
COPY requirements/apt.txt requirements/
RUN apt-get update -q \
 && sed -e 's/#.*//' requirements/apt.txt | awk 'NF { print $1 }' \
  | DEBIAN_FRONTEND=noninteractive xargs apt-get install -y -q --no-install-recommends \
 && rm -rf /var/lib/apt/lists/*

# The Python packages that the build links with, then the build itself, so that a change of code installs nothing anew.
FROM packages AS build
COPY requirements requirements
COPY scripts scripts
RUN bash -ec 'source scripts/setup.sh; setup_python'
COPY . .
RUN ./run --build && deploy/docker/collect /out

# The same with a CUDA LibTorch: torch of that build in an environment of its own (TORCH: what pip is asked for).
FROM packages AS build-cuda
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=
COPY requirements requirements
COPY scripts scripts
RUN bash -ec 'source scripts/setup.sh; setup_python'
RUN python3 -m venv /cuda && /cuda/bin/pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$TORCH"
COPY . .
RUN ./run --build --torch "$(/cuda/bin/python -c 'import torch, os; print(os.path.dirname(torch.__file__))')" \
 && deploy/docker/collect /out

# Debian's libraries that the server wants, and nothing else of the build.
FROM ${DEBIAN} AS runtime
LABEL org.opencontainers.image.title="pixpool" \
      org.opencontainers.image.description="gRPC server that turns images into CNN features" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY deploy/docker/apt.txt /tmp/apt.txt
RUN apt-get update -q \
 && sed -e 's/#.*//' /tmp/apt.txt | DEBIAN_FRONTEND=noninteractive xargs apt-get install -y -q --no-install-recommends \
 && rm -rf /var/lib/apt/lists/* /tmp/apt.txt /var/log/* /var/cache/debconf/*
# The ports are for the container's network; the process listens on loopback unless told otherwise.
ENV PATH=/opt/pixpool/bin:$PATH \
    PIXPOOL_MODELS_DIR=/models \
    PIXPOOL_LISTEN=0.0.0.0:50051 \
    PIXPOOL_HTTP_LISTEN=0.0.0.0:8080
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["/opt/pixpool/bin/pixpool", "health", "--timeout", "2"]
ENTRYPOINT ["/opt/pixpool/bin/pixpool-server"]

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /out/opt /opt
COPY --from=build-cuda /out/models /models
RUN ldconfig /opt/pixpool/lib
USER 65532:65532

# Last, so that it is what is built without --target.
FROM runtime AS cpu
COPY --from=build /out/opt /opt
COPY --from=build /out/models /models
RUN ldconfig /opt/pixpool/lib
USER 65532:65532
