# Images of the server, with the default model inside.
#
#   docker build -t ghcr.io/pixpool/pixpool:0.1.0 .                       CPU; runs as 65532 with a read-only root, no compiler
#                                                                         and no Python inside
#   docker build -t ghcr.io/pixpool/pixpool:0.1.0-cuda --target cuda .    CUDA: the same server on PyTorch's CUDA libraries
#   docker run --rm --read-only -p 50051:50051 -p 8080:8080 ghcr.io/pixpool/pixpool:0.1.0
#
# The names are those by which deploy/ wants them. PyTorch's CPU wheel comes from PyTorch's own index, whose name uv knows
# (scripts/python.sh); where only a mirror is reached, name one that has it: --build-arg TORCH_INDEX=URL.
# deploy/docker/test builds and runs the CPU image where there is no Docker engine.
#
# What is pinned: Python packages by SHA-256 (requirements/lock-*.txt). Debian's by release: bookworm changes for fixes
# alone, an image should have those of its day, and the archive keeps no older ones, so that exact versions in this file would break it at
# the next fix. What an image did get is in its SBOM. For the same bytes again give the base by digest and a day of Debian's snapshots:
#   --build-arg DEBIAN=docker.io/library/debian@sha256:... --build-arg SNAPSHOT=20261101T000000Z
ARG DEBIAN=docker.io/library/debian:12-slim

# Debian's libraries that the server wants, and nothing of the build.
FROM ${DEBIAN} AS runtime
ARG SNAPSHOT=
COPY deploy/docker/packages deploy/docker/apt.txt /tmp/docker/
# OpenCV's core is linked with OpenGL's front end, which wants drivers that a server never loads: 170 MB of Mesa and LLVM.
RUN /tmp/docker/packages /tmp/docker/apt.txt && rm -r /tmp/docker \
 && dpkg --purge --force-depends libgl1-mesa-dri libllvm15 libz3-4
LABEL org.opencontainers.image.title="pixpool" \
      org.opencontainers.image.description="gRPC server that turns images into CNN features" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:12-slim"
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

# What both builds share: Debian's packages, by the list that ./run uses.
FROM ${DEBIAN} AS packages
ARG SNAPSHOT=
WORKDIR /src
ENV XDG_CACHE_HOME=/cache
COPY deploy/docker/packages deploy/docker/
COPY requirements/apt.txt requirements/
RUN deploy/docker/packages requirements/apt.txt

# The Python packages that the build links with, then the build itself, so that a change of code installs nothing anew.
FROM packages AS build
ARG TORCH_INDEX=
ENV PIXPOOL_LOCK=cpu
COPY requirements requirements
COPY scripts scripts
RUN if [ -n "$TORCH_INDEX" ]; then export PIP_EXTRA_INDEX_URL="$TORCH_INDEX"; fi; \
    bash -ec 'source scripts/setup.sh; setup_python'
COPY CMakeLists.txt CMakePresets.json run ./
COPY bench bench
COPY client client
COPY cmake cmake
COPY proto proto
COPY server server
RUN ./run --build
COPY LICENSE ./
COPY deploy/docker deploy/docker
COPY --from=runtime /var/lib/dpkg /runtime/var/lib/dpkg
COPY --from=runtime /usr/share/doc /runtime/usr/share/doc
RUN deploy/docker/collect /out /runtime

# The same with a CUDA LibTorch.
FROM packages AS build-cuda
ENV PIXPOOL_LOCK=cuda
COPY requirements requirements
COPY scripts scripts
RUN bash -ec 'source scripts/setup.sh; setup_python'
COPY CMakeLists.txt CMakePresets.json run ./
COPY bench bench
COPY client client
COPY cmake cmake
COPY proto proto
COPY server server
RUN ./run --build
COPY LICENSE ./
COPY deploy/docker deploy/docker
COPY --from=runtime /var/lib/dpkg /runtime/var/lib/dpkg
COPY --from=runtime /usr/share/doc /runtime/usr/share/doc
RUN deploy/docker/collect /out /runtime

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /out/opt /opt
COPY --from=build-cuda /out/models /models
RUN echo /opt/pixpool/lib >/etc/ld.so.conf.d/pixpool.conf && ldconfig
USER 65532:65532

# Last, so that it is what is built without --target.
FROM runtime AS cpu
COPY --from=build /out/opt /opt
COPY --from=build /out/models /models
RUN echo /opt/pixpool/lib >/etc/ld.so.conf.d/pixpool.conf && ldconfig
USER 65532:65532
