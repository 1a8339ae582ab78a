# `make help` says what there is. Everything that is compiled goes into one cache outside the checkout,
# so that a fresh clone does not begin again; CARGO_TARGET_DIR moves it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE := $(HOME)/.cache/keelson
export KEELSON_TOOLS ?= $(CACHE)/tools
export PATH := $(KEELSON_TOOLS)/bin:$(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
export CARGO_TARGET_DIR ?= $(CACHE)/target
# RocksDB is compiled once per version, apart from cargo (.ci/build-rocksdb says why).
ROCKSDB_VERSION := $(shell awk '/^name = "librocksdb-sys"$$/ { getline; gsub(/version = |"/, ""); print }' Cargo.lock)
export ROCKSDB_LIB_DIR ?= $(CACHE)/rocksdb-$(ROCKSDB_VERSION)
export ROCKSDB_STATIC ?= 1

CARGO_DENY_VERSION := 0.20.2

# For `make up` and `make down`: how many masters and nodes (nothing: as many as there are, in a new cluster three masters
# and, as root, two nodes with the sample), and where.
MASTERS ?=
NODES ?=
DIR ?= .keelson
NODES_ASKED = $(or $(NODES),$(if $(wildcard $(DIR)/cluster.json),,$(if $(filter 0,$(shell id -u)),2)))
# What of that the kernel must be able to do; a cluster that is there was asked when it was made.
WORDS = $(subst =, ,$(ARGS))
ON_LOOPBACK = $(or $(filter loopback,$(WORDS)),$(wildcard $(DIR)/cluster.json),$(filter-out 0,$(shell id -u)))
PARTS = $(if $(or $(filter-out 0,$(NODES_ASKED)),$(filter --nodes,$(WORDS))),bridge nodes,$(if $(or $(filter bridge,$(WORDS)),$(if $(ON_LOOPBACK),,yes)),bridge))
# For `make bench`: passed on to the program.
ARGS ?=
# For `make fuzz`: how long each target runs.
SECONDS ?= 60

.PHONY: help up down build test check bench soak deps clean env fmt lint deny fuzz claim rocksdb release-binaries

help: ## What there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { gsub(/[$$][$$]/, "$$"); printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Builds, then starts three masters, two nodes and a sample application (MASTERS=, NODES=, DIR=.keelson, ARGS=)
	@.ci/host $(PARTS)
	@$(MAKE) --no-print-directory build
	bin/keelson up --dir $(DIR)$(if $(MASTERS), --masters $(MASTERS))$(if $(NODES_ASKED), --nodes $(NODES_ASKED))$(if $(filter-out 0,$(NODES_ASKED)), --sample)$(if $(ARGS), $(ARGS))

down: ## Stops that cluster; its data stays
	bin/keelson down --dir $(DIR)

build: ## Leaves bin/keelson and bin/kctl (release); installs what that needs
	@.ci/deps build
	@$(MAKE) --no-print-directory release-binaries

release-binaries: claim rocksdb
	cargo build --release --locked --bin keelson --bin kctl
	@# install replaces a file instead of writing into it, so a running cluster keeps its own.
	install -D -t bin $(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/release/keelson $(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/release/kctl

test: ## Formatting, lints, all tests, 2 s of each fuzz target; ends with the ten slowest tests
	@.ci/deps test
	@$(MAKE) --no-print-directory fmt lint
	@.ci/test
	@.ci/fuzz 2

check: ## Formatting, lints, and what the dependencies bring along (licenses, sources, bans)
	@.ci/deps build
	@$(MAKE) --no-print-directory fmt lint deny

bench: ## The table of measurements, each a ratio (ARGS=...); release build
	@.ci/deps bench
	@$(MAKE) --no-print-directory release-binaries
	cargo run --release --locked -p bench --bin keelson-bench -- $(ARGS)

soak: ## The long hunts, by hand; about 45 minutes
	@.ci/deps test
	@$(MAKE) --no-print-directory claim rocksdb
	@.ci/soak

fuzz: claim ## Fuzzes each target (SECONDS=60)
	@.ci/fuzz $(SECONDS)

deps: ## Installs what building and testing need and this machine lacks
	@.ci/deps test

clean: ## Stops the cluster in DIR, and removes its data and what was compiled; RocksDB stays
	@if [ -x bin/keelson ]; then \
		if [ -e $(DIR)/cluster.json ]; then bin/keelson down --dir $(DIR); fi; \
	elif compgen -G '$(DIR)/run/*.pid' >/dev/null; then \
		echo "a cluster in $(DIR) was not stopped, and bin/keelson, which does that, is gone: run make build down first" >&2; \
		exit 1; \
	fi
	rm -rf $(DIR) bin
	cargo clean

env: claim ## Prints what plain cargo needs to share the cache: eval "$$(make env)"
	@echo 'export CARGO_TARGET_DIR=$(CARGO_TARGET_DIR) ROCKSDB_LIB_DIR=$(ROCKSDB_LIB_DIR) ROCKSDB_STATIC=$(ROCKSDB_STATIC)'

fmt:
	cargo fmt --all --check

# Needs no RocksDB: linting does not link.
lint: claim
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

deny:
	@[[ "$$(cargo deny --version 2>/dev/null) " = *" $(CARGO_DENY_VERSION) "* ]] || { \
		echo "installing cargo-deny $(CARGO_DENY_VERSION) (once; about 3 minutes on 2 cores)"; \
		env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --root $(KEELSON_TOOLS) cargo-deny@$(CARGO_DENY_VERSION); }
	cargo deny --locked --workspace --log-level error check --hide-inclusion-graph bans licenses sources

claim:
	@.ci/claim-target

rocksdb:
	@.ci/build-rocksdb $(ROCKSDB_LIB_DIR)
