# An image of a few megabytes that contains only a static binary.
#
#   make docker && make docker-run

FROM rust:1-slim-trixie AS builder
WORKDIR /src
COPY . .
ARG TARGET=x86_64-unknown-linux-musl
RUN rustup target add "$TARGET"
RUN cargo build --release --locked --package pixi-game-server --bin pixi-game-server --target "$TARGET" \
    && strip --strip-debug -o /pixi-game-server "target/$TARGET/release/pixi-game-server"
# The build fails unless the server starts and answers a health check.
RUN export HOST=127.0.0.1 && { /pixi-game-server & } && server=$! \
    && until /pixi-game-server --health-check; do kill -0 "$server" && sleep 0.1 || exit 1; done \
    && kill "$server" && wait "$server"

FROM scratch
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="pixi-game-server" \
      org.opencontainers.image.description="Real-time multiplayer server for a 2D browser game" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION"
COPY --from=builder /pixi-game-server /pixi-game-server
# An unprivileged user that owns no file of the image.
USER 65532:65532
EXPOSE 8108
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=2s --retries=3 CMD ["/pixi-game-server", "--health-check"]
ENTRYPOINT ["/pixi-game-server"]
