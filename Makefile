# The front door. `make` alone prints what there is.
BUILD ?= build
JOBS ?= $(shell nproc)

.PHONY: help install build demo test bench interop format fuzz clean

help:
	@echo 'make demo     install, build, train a DeepSeek-V3-architecture model from nothing, reinforce it, talk to it'
	@echo 'make test     install, build, pass every test'
	@echo 'make build    install and build build/tenth'
	@echo 'make bench    speed of kernels, training and rollouts beside their bounds'
	@echo 'make interop  open the demo model in transformers and compare; rollouts beside its generate (downloads PyTorch)'
	@echo 'make format   clang-format all sources'
	@echo 'make fuzz     fuzz the parsers with clang, a minute each (SECONDS_EACH=60)'
	@echo 'make clean    remove the build folders'

# apt-get runs only where a package is missing.
install:
	@tools/install.sh

build: install
	@[ -f $(BUILD)/build.ninja ] || cmake --preset release -B $(BUILD) > /dev/null
	@ninja -C $(BUILD) -j $(JOBS) tenth

demo: build
	@tools/demo.sh

test:
	@tools/install.sh test
	@[ -f $(BUILD)/build.ninja ] || cmake --preset release -B $(BUILD) > /dev/null
	@ninja -C $(BUILD) -j $(JOBS)
	@cd $(BUILD) && ctest --output-on-failure --progress -j $(JOBS)

bench: install
	@cmake --preset release -B $(BUILD) -DTENTH_BENCH=ON > /dev/null
	@ninja -C $(BUILD) -j $(JOBS)
	@tools/bench.sh $(BUILD)

interop: build
	@tools/interop.sh

format:
	@git ls-files '*.h' '*.cpp' 'web/*.js' | xargs clang-format -i

fuzz: install
	@tools/fuzz.sh

clean:
	@rm -rf build build-*
