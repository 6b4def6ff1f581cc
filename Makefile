# `make help` lists the targets. `make run` and `make test` do all the set-up they need on Debian 12.
GO ?= go
OUT := bin
AGENTS := remote/agentbin
AGENT_ARCHES := amd64 arm64 armv7 riscv64
LDFLAGS := -trimpath -ldflags '-s -w'
# Fyne without its checks for programs of before 2.6. One set of flags for the window and its tests, without -trimpath: another
# set compiles the C parts again, which takes minutes.
TAGS := -tags migrated_fynedo

.PHONY: all help run test cli cross agents studio check-quant bench bench-arm bench-commits bench-predict bench-stats bench-train lint screenshots doctor generate docs size clean

all: cli ## build the command line (no cgo) and check it

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: ## set up, build, open the studio on the sample; without a display do the same job headless
	@if [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ]; then \
	   scripts/setup.sh studio && $(MAKE) -s studio && exec $(OUT)/fettle-studio -sample; \
	 else echo "No display: doing the main job headless."; $(MAKE) -s agents cli && $(OUT)/fettle demo; fi

test: ## set up and run all tests
	@scripts/setup.sh test
	@$(MAKE) -s agents cli
	@scripts/ort/install.sh || true
	ORT_DISABLE_TELEMETRY=1 xvfb-run -a -s '-screen 0 1600x1000x24' $(GO) test $(TAGS) -timeout 20m ./...

cli: ## bin/fettle, the command line
	@mkdir -p $(OUT)
	CGO_ENABLED=0 $(GO) build $(LDFLAGS) -o $(OUT)/fettle ./cmd/fettle

cross: agents ## the command line for other desktops: bin/fettle-SYSTEM-PROCESSOR
	@mkdir -p $(OUT)
	@for t in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do \
	   out=$(OUT)/fettle-$${t%/*}-$${t#*/}; case $$t in windows/*) out=$$out.exe;; esac; \
	   CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build $(LDFLAGS) -o $$out ./cmd/fettle && echo $$out || exit 1; \
	 done

agents: ## the board agents that studio and command line embed
	@for a in $(AGENT_ARCHES); do \
	   case $$a in armv7) goarch=arm;; *) goarch=$$a;; esac; \
	   out=$(AGENTS)/fettle-agent-linux-$$a; \
	   CGO_ENABLED=0 GOOS=linux GOARCH=$$goarch GOARM=7 $(GO) build $(LDFLAGS) -o $$out ./cmd/fettle-agent && gzip -9nf $$out || exit 1; \
	 done

studio: agents ## bin/fettle-studio, the desktop studio (needs cgo)
	@mkdir -p $(OUT)
	CGO_ENABLED=1 $(GO) build $(TAGS) -ldflags '-s -w' -o $(OUT)/fettle-studio .

bench: cli ## time our engine against ONNX Runtime, TensorFlow Lite and XNNPACK, interleaved; prints a table
	@scripts/ort/install.sh
	scripts/bench.sh

bench-train: cli ## pictures a second of training (forward, backward, update) with one and two threads, and the share of the multipliers
	@for n in 1 2; do \
	   $(OUT)/fettle bench train sample:resnet20 --threads $$n && $(OUT)/fettle bench train sample:mobilenetv1 --batch 8 --threads $$n || exit 1; \
	 done

bench-commits: ## time this tree against another commit, interleaved, and list the steps that became slower: make bench-commits BASE=HEAD~1
	scripts/bench-commits.sh $(or $(BASE),HEAD~1)

bench-stats: ## the gates of the statistics: 12 simulated worlds, 20,000 trials each (about 20 minutes on two idle cores; TRIALS=400 for a look)
	GOGC=400 FETTLE_TRIALS=$(or $(TRIALS),20000) CGO_ENABLED=0 go test -run 'TestStatistics|TestThrottledIsTainted' -count=1 -timeout 6h -v ./profiler

bench-predict: ## times of the built-in networks, which no table holds, predicted and measured on this computer: median errors (about 8 minutes, on an idle computer; FOR=60s for a look)
	scripts/bench-predict.sh $(or $(FOR),240s)

bench-arm: ## instructions of one inference on a Cortex-A72, counted in an emulator; prints a table
	scripts/bench-arm.sh

lint: ## gofmt, vet, and the layers
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo 'run gofmt -w on these files' >&2; exit 1; }
	CGO_ENABLED=0 $(GO) vet $$(CGO_ENABLED=0 $(GO) list ./...)
	$(GO) test ./internal/arch

screenshots: agents ## drive the real window under Xvfb and write docs/images
	scripts/screenshots.sh

doctor: cli ## what this computer lacks, and how to get it
	@$(OUT)/fettle doctor

generate: ## assembly from kernels/_asm
	cd kernels/_asm/amd64gen && $(GO) run .
	cd kernels/_asm/amxgen && $(GO) run .
	cd kernels/_asm/arm64gen && $(GO) run .
	cd kernels/_asm/armgen && $(GO) run .

check-quant: ## the bars of quantization in ONNX Runtime, on ../shared/data (half an hour)
	scripts/check-quant.sh

docs: cli ## docs/passes.md, docs/errors.md, docs/ops.md from the tables
	$(OUT)/fettle docs -o docs

size: cli agents ## sizes of the programs
	@ls -l $(OUT) $(AGENTS)

clean: ## remove what was built
	rm -rf $(OUT) $(AGENTS)/*.gz .cache
