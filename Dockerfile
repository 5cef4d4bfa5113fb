# A node, the gateway and the command line in one small image: `docker build -t dynamokv .`
#
# BUILD_IMAGE compiles, BASE_IMAGE is what the binary runs on: it needs libc and libstdc++, no shell. Where the binary is there already,
# BINARIES names an image that has it as /out/dynamokv, and nothing is compiled (needs BuildKit).
ARG BUILD_IMAGE=rust:1-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12
ARG BINARIES=build

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN ./scripts/setup.sh \
    && cargo build --release --locked -p dynamokv-cli \
    && mkdir -p /out/data \
    && cp target/release/dynamokv /out/dynamokv

FROM ${BINARIES} AS binaries

FROM ${BASE_IMAGE}
COPY --from=binaries /out/dynamokv /usr/local/bin/dynamokv
# An empty folder that the user owns: a new volume takes its owner from it.
COPY --from=binaries --chown=65532:65532 /out/data /data
USER 65532:65532
ENV DYNAMOKV_LISTEN=0.0.0.0:7070 \
    DYNAMOKV_ADMIN_LISTEN=0.0.0.0:9100 \
    DYNAMOKV_DATA_DIR=/data
VOLUME /data
EXPOSE 7070 9100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/dynamokv", "status", "--node", "127.0.0.1:7070", "--wait-ms", "2000"]
ENTRYPOINT ["/usr/local/bin/dynamokv"]
CMD ["serve"]
