# What is done in this tree, by name. "make" alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 10s
PORT ?= 0
STATEMENTS ?= 100000
SEED ?= 1
SUITES ?= libpq pgx pgconn pgx4 pq contrib
MINUTES ?= 30
VERSIONS ?= 14 15 16 17 18
PARSER := github.com/pganalyze/pg_query_go/v6/parser
# Our own Go files; nothing that was downloaded.
SOURCES = find . -name '*.go' -not -path './.cache/*' -not -path '*/node_modules/*'

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: needs-gcc ## build bin/pgveil
	@if [ "$$(go list -f '{{.Stale}}' $(PARSER))" = true ]; then \
		echo "building bin/pgveil: the SQL parser is C, the first build takes a minute"; fi
	@go build -o bin/ ./cmd/pgveil

.PHONY: demo
demo: build needs-postgres ## show pgveil on a CRM, every promise checked (ONCE=1: then end; PORT=6432)
	@go build -o bin/demo ./demo/tour
	@exec bin/demo -pgveil bin/pgveil -port $(PORT) $(if $(ONCE),-once)

.PHONY: test
test: needs-gcc needs-postgres needs-redis ## go vet and all tests, on a PostgreSQL and a Redis of their own
	go vet ./...
	go test ./...

.PHONY: test-race
test-race: needs-gcc needs-postgres needs-redis ## all tests under the race detector
	go test -race -shuffle=on ./...

.PHONY: test-matrix
test-matrix: needs-gcc needs-redis ## all tests on PostgreSQL 14 to 18 (VERSIONS="16 18"), from the npm registry
	@failed=; for v in $(VERSIONS); do \
		bin="$$(.ci/postgres $$v)"; \
		echo "== $$("$$bin/postgres" --version)"; \
		export PGVEIL_POSTGRES_BIN="$$bin" PGVEIL_TEST_POSTGRES_BIN="$$bin"; \
		ok=yes; go test -count=1 ./... || ok=; \
		go test -count=1 -v -run '^TestCases$$' ./rewrite/cases | sed -n 's/.*: \(.* cases passed\)/\1/p' || ok=; \
		[ "$$ok" ] || failed="$$failed $$v"; \
	done; [ -z "$$failed" ] || { echo "failed on PostgreSQL$$failed" >&2; exit 1; }

.PHONY: cases
cases: needs-gcc needs-postgres ## the .case files, on a server and on the twins
	go test -count=1 ./rewrite/cases

.PHONY: twins
twins: needs-gcc needs-postgres needs-sqlsmith ## made-up SQL on fixtures and twins, sqlsmith's as well (STATEMENTS=100000 SEED=1)
	go test -count=1 -v -timeout 0 ./rewrite/twins -statements $(STATEMENTS) -sqlsmith $$(($(STATEMENTS) / 10)) -seed $(SEED)

.PHONY: fuzz
fuzz: needs-gcc ## each fuzz target for a while (FUZZTIME=1m)
	@$(SOURCES) -name '*_test.go' -exec grep -Ho '^func Fuzz[A-Za-z0-9_]*' {} + | sort | \
	while IFS=: read -r file func; do \
		echo "== $${file%/*} $${func#func }"; \
		.ci/fuzz "$${file%/*}" "$${func#func }" $(FUZZTIME) </dev/null; \
	done

.PHONY: faults
faults: needs-gcc needs-postgres ## cut sessions at every byte on both sides of pgveil; restarts, 10,000 connections; kill the writer of a log 1,000 times
	go test -count=1 -v -timeout 0 -run '^TestCuts$$' ./proxy -every-byte
	go test -count=1 -v -timeout 0 -run '^TestKill$$' ./audit -kills 1000
	go test -count=1 -v -timeout 0 -run '^(TestRestarts|TestConnectionsComeAndGo)$$' ./cmd/pgveil -restarts 10 -connections 10000

.PHONY: soak
soak: build needs-postgres ## everything at once, for long: does memory stay constant (MINUTES=30)?
	go run ./soak -minutes $(MINUTES)

.PHONY: redteam
redteam: build needs-postgres ## take 10,000 customers by every evasion known, allowed 500; needs Valkey or Redis (ONLY=cursor AT=one)
	go run ./redteam $(if $(ONLY),-only '$(ONLY)') $(if $(AT),-at '$(AT)')

.PHONY: bench
bench: needs-gcc needs-postgres ## compare with a direct connection and other proxies (BENCH=--quick)
	go run ./bench $(BENCH)

.PHONY: bench-gdpr
bench-gdpr: needs-gcc needs-postgres ## the rights of data subjects, through pgveil and by hand: three minutes (GDPR="--only customer")
	go run ./bench/gdpr $(GDPR)

.PHONY: pgo
pgo: build needs-postgres ## what a build by a profile of pgveil under load would gain (docs/benchmarks.md)
	go run ./bench --pgveil bin/pgveil --rounds 1 --seconds 6 --rows 1000000 --scale 1 --among '^(pgveil|restricted)$$' \
		--only '^(small/.*/8|literals/simple/8|new/|rows/(select/clear|copy)|tls/small/simple)' --profile bin/pgveil.pgo
	go build -pgo=bin/pgveil.pgo -o bin/pgveil-pgo ./cmd/pgveil
	go run ./bench --pgveil bin/pgveil --other bin/pgveil-pgo --seconds 5 --scale 1 --rows 1000 \
		--among '^(pgveil|restricted|other.*)$$' --only '^(small/prepared/8|literals/simple/8|new/simple/8)$$'

.PHONY: clients
clients: build needs-postgres ## run psql, pg_dump, pgbench and drivers through pgveil (CLIENTS="psql node")
	go run ./clients $(CLIENTS)

.PHONY: regress
regress: build needs-postgres needs-suites ## PostgreSQL's regression tests, directly and through pgveil: minutes (CLEAR=-clear: without TLS)
	go run ./suites $(CLEAR) regress

.PHONY: isolation
isolation: build needs-postgres needs-suites ## PostgreSQL's isolation tests, likewise
	go run ./suites $(CLEAR) isolation

.PHONY: suites
suites: build needs-postgres needs-suites ## the tests of drivers and extensions, likewise: a quarter of an hour (SUITES="pgx libpq")
	go run ./suites $(CLEAR) $(SUITES)

.PHONY: gofmt
gofmt: ## tell which files gofmt would change
	@files="$$(gofmt -l $$($(SOURCES)))"; [ -z "$$files" ] || { echo "gofmt would change:"; echo "$$files"; exit 1; }

.PHONY: lint
lint: gofmt needs-gcc ## gofmt, go vet and staticcheck
	go vet -tags awskms,gcpkms ./cmd/pgveil
	go vet ./...
	@if go tool -modfile=tools.mod -n staticcheck >/dev/null 2>&1; then \
		echo "staticcheck ./..."; go tool -modfile=tools.mod staticcheck ./...; \
	else echo "staticcheck: skipped, the module proxy cannot be reached"; fi

.PHONY: clean
clean: ## remove what was built and downloaded into this tree
	rm -rf bin .cache

.PHONY: needs-gcc needs-postgres needs-redis needs-sqlsmith needs-suites
needs-gcc needs-postgres needs-redis needs-sqlsmith needs-suites: needs-%:
	@.ci/needs $*
