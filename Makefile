# The two commands of the README are `make demo` and `make test`.
# `make help` lists the rest.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
GO      := go
# The eyes are the one program with cgo. --as-needed leaves away the libraries that
# opencv4.pc names and nothing calls.
CGO_GO  := CGO_ENABLED=1 CGO_LDFLAGS=-Wl,--as-needed $(GO)
OPENCV  := pkg-config --atleast-version=4.6 opencv4 2>/dev/null
NO_EYES := echo "OpenCV 4.6 is not installed, so shedguard-vision is left out here; deploy/setup.sh vision installs it (Debian 12)"
LINT    := $(GO) tool -modfile=deploy/tools/go.mod golangci-lint
TESTS   ?= ./...
RULES   ?= ./gateway/protect ./gateway/session ./gateway/feeder ./gateway/charge

export SHEDGUARD_SHARED ?= $(abspath ../shared)

##@ What people type

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## a whole system on 127.0.0.1: page on :8080, broker on :1883, a simulated shed; Ctrl-C ends it
	bin/demo

test: setup check race vision-test arm test-arm arm64-vision board e2e smoke ## all set-up (Debian packages where needed), all tests
	@echo "make test: all green"

smoke: build ## the demo without a person: an overload from chip register to web API and back, a flame from camera to fire alarm, one JSON line
	bin/demo -smoke

bench: ## all benchmarks, short
	$(GO) test -run '^$$' -bench . -benchtime 0.5s $(TESTS)

evaluate: bin/shedguard-vision ## the eyes over all labelled pictures of the validation set
	bin/shedguard-vision evaluate --images $(VAL)/images --labels $(VAL)/labels $(EVALUATE)

reel: bin/shedguard-vision ## the eyes over REEL=2h that are drawn, and fires (half an hour of computing; fails while a bar is missed)
	bin/shedguard-vision evaluate --reel $(REEL) $(EVALUATE)

VAL ?= $(SHEDGUARD_SHARED)/vision-data/val
REEL ?= 2h
EVALUATE ?=

model: ## the network trained anew: data, training, export, evaluation, model card (hours; goes on where it was stopped)
	vision/training/run.sh $(SHEDGUARD_SHARED)/vision-data build/vision

##@ What it is made of

build: page bin/shedguard bin/shedcloud bin/demo bin/shedguard-vision ## all programs into bin/

.PHONY: FORCE
bin/shedguard: FORCE
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./gateway/cmd/shedguard
bin/shedcloud: FORCE page
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cloud/cmd/shedcloud
bin/demo: FORCE
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./deploy/demo
bin/shedguard-vision: FORCE
	@if $(OPENCV); then set -x; $(CGO_GO) build -trimpath -tags opencv -ldflags '$(LDFLAGS)' -o $@ ./vision/cmd/shedguard-vision; else $(NO_EYES); fi

# The page is built again only when one of its sources changed.
PAGE_SOURCES := $(shell find cloud/web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/artefacts/*' -not -path '*/e2e/*' -not -name '*.go')

page: cloud/web/dist/index.html ## the web page into cloud/web/dist
cloud/web/node_modules/.package-lock.json: cloud/web/package.json cloud/web/package-lock.json
	cd cloud/web && npm ci --no-audit --no-fund
	touch $@
cloud/web/dist/index.html: cloud/web/node_modules/.package-lock.json $(PAGE_SOURCES)
	cd cloud/web && npm run build
	touch $@

setup: ## Debian packages that tests need (root or sudo), nothing when they are there
	deploy/setup.sh

##@ What CI runs

check: vet lint tidy-check page-check ## linters and checks without a server

vet:
	$(GO) vet ./...
	@if $(OPENCV); then set -x; $(CGO_GO) vet -tags opencv ./vision/... ./deploy/eyes/...; else $(NO_EYES); fi

lint: ## golangci-lint as pinned in deploy/tools
	$(LINT) run --timeout 15m ./...
	@if $(OPENCV); then set -x; CGO_LDFLAGS=-Wl,--as-needed $(LINT) run --timeout 15m --build-tags opencv ./vision/... ./deploy/eyes/...; else $(NO_EYES); fi

fmt: ## formats the Go code
	$(LINT) fmt ./...

tidy-check:
	$(GO) mod tidy -diff
	cd deploy/tools && $(GO) mod tidy -diff

page-check: cloud/web/node_modules/.package-lock.json
	cd cloud/web && npm run check

race: page ## all Go tests under the race detector, with real servers
	SHEDGUARD_REQUIRE_SERVERS=1 $(GO) test -race -shuffle=on -timeout 15m $(TESTS)
	$(GO) test -run FalseAlarms ./gateway/replay # thousands of hours: too many for the race detector

vision-test: ## the eyes with OpenCV under the race detector, with real cameras that misbehave, and how well they see
	SHEDGUARD_REQUIRE_SERVERS=1 $(CGO_GO) test -race -shuffle=on -timeout 15m -tags opencv -skip 'Test(Reel|Hour)$$' ./vision/opencv ./vision/cmd/... ./deploy/eyes
	$(CGO_GO) test -timeout 15m -tags opencv -run 'Test(Reel|Hour)$$' ./vision/cmd/... # thousands of frames: too many for the race detector

e2e: build ## the page in a real browser: against a scripted API, then against the whole system
	cd cloud/web && npm run e2e
	cd cloud/web && node e2e/shots.js # pictures of every view, to be looked at: artefacts/web
	cd cloud/web && SHEDGUARD_OVERLOAD=1 ../../bin/demo node --test e2e/real.test.js
	@if $(OPENCV); then set -x; cd cloud/web && SHEDGUARD_FIRE=1 ../../bin/demo -scenario check node --test --test-name-pattern 'a fire' e2e/real.test.js; else $(NO_EYES); fi

# Tests that start themselves anew as a process of their own cannot: the kernel
# here does not run ARM programs by itself.
test-arm: ## what decides about power, on an emulated ARM processor
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) test -short -skip Kill -exec qemu-aarch64-static . ./drivers/... ./gateway/protect/... ./gateway/charge/... ./gateway/session/... ./gateway/outbox/...

# A machine with arm64 OpenCV is a Debian root that is only unpacked: installing
# it would remove this machine's own. Where it is goes to the linker by CGO_LDFLAGS:
# what pkg-config prints is not part of the build cache's key, so a checkout elsewhere
# would be handed the folder of the first one.
ARM64_ROOT := build/arm64-sysroot
arm64-vision: ## the eyes for ARM64: one picture on an emulated processor, the same result
	deploy/arm64/sysroot.sh $(ARM64_ROOT)
	CC=aarch64-linux-gnu-gcc CXX=aarch64-linux-gnu-g++ PKG_CONFIG_LIBDIR=$(abspath $(ARM64_ROOT))/pkgconfig GOARCH=arm64 \
	  CGO_ENABLED=1 CGO_LDFLAGS='-Wl,--as-needed -L$(abspath $(ARM64_ROOT))/root/usr/lib/aarch64-linux-gnu' \
	  $(GO) build -trimpath -tags opencv -ldflags "$(LDFLAGS) -extldflags '-Wl,--allow-shlib-undefined'" -o build/arm64/shedguard-vision ./vision/cmd/shedguard-vision
	SHEDGUARD_ARM64_ROOT=$(abspath $(ARM64_ROOT)) $(CGO_GO) test -count=1 -v -tags opencv -run ARM64 ./deploy/arm64

board: page ## the ARM program on an emulated board: QEMU's chips, Debian's kernel, faults from outside
	deploy/board/fetch.sh build/board
	SHEDGUARD_REQUIRE_SERVERS=1 SHEDGUARD_BOARD=1 $(GO) test -count=1 -v -run Emulated ./deploy/board

# shedguard and shedcloud are static and pure Go wherever they are shipped.
arm: page ## builds for linux/arm v7, arm64 and amd64 without cgo
	CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7 $(GO) build -trimpath -o build/arm/ ./gateway/cmd/shedguard ./cloud/cmd/shedcloud
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -o build/arm64/ ./gateway/cmd/shedguard ./cloud/cmd/shedcloud
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -o build/amd64/ ./gateway/cmd/shedguard ./cloud/cmd/shedcloud

fuzz: ## every fuzz target for 30 s
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 30s $$pkg; \
	  done; \
	done

mutate: ## breaks every protection rule on purpose; fails where no test notices
	nice $(GO) run ./deploy/mutate --equivalent deploy/mutate/equivalent.txt $(RULES)

clean: ## what was built
	rm -rf bin build cloud/web/dist/assets cloud/web/dist/index.html cloud/web/node_modules

.PHONY: help demo test smoke bench evaluate reel model vision-test arm64-vision build page setup check vet lint fmt tidy-check page-check race e2e arm test-arm board fuzz mutate clean
