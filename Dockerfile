# An image that holds pgveil and nothing else: no shell, no package manager.
#
#   docker build -t pgveil .
#   docker run -v ./etc:/etc/pgveil:ro -v pgveil-audit:/var/lib/pgveil/audit -p 6432:6432 pgveil
#
# /etc/pgveil holds pgveil.yaml, the policy, and the key and password files,
# which user 65532 must be able to read. In pgveil.yaml, listen on 0.0.0.0:6432,
# set admin (the health check asks there), and let audit.dir be
# /var/lib/pgveil/audit.

FROM golang:1.26-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=1
COPY go.mod go.sum ./
RUN go mod download
# The SQL parser is C and takes the longest; it changes only with go.mod.
RUN go build -trimpath -tags netgo,osusergo github.com/pganalyze/pg_query_go/v6/parser
COPY . .
# Linked statically. netgo and osusergo keep out the parts of the C library that
# would load others while running.
RUN go build -trimpath -tags netgo,osusergo \
        -ldflags '-s -w -linkmode external -extldflags -static' -o /out/pgveil ./cmd/pgveil \
    && mkdir -p /out/audit

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/pgveil /usr/bin/pgveil
# A new volume begins as what is at its place, owner included.
COPY --from=build --chown=65532:65532 --chmod=0700 /out/audit /var/lib/pgveil/audit
VOLUME /var/lib/pgveil/audit
EXPOSE 6432
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s \
    CMD ["/usr/bin/pgveil", "health", "--config", "/etc/pgveil/pgveil.yaml"]
ENTRYPOINT ["/usr/bin/pgveil"]
CMD ["serve", "--config", "/etc/pgveil/pgveil.yaml"]
