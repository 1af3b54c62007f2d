# nf4j. `make help` lists the targets.

BUILD     := build
comma     := ,
NATIVE    := $(BUILD)/native
CXX       ?= g++
CC        ?= cc
CXXFLAGS  ?= -O3 -g1
WARNINGS  := -Wall -Wextra -Wpedantic -Werror
# No fast-math anywhere, and no contraction but where a kernel asks for an FMA by name: results must not depend on the compiler.
CPPFLAGS_ := -std=c++17 -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti -ffp-contract=off -pthread \
             -DNF4J_BUILD -Inative/include -Inative -ffile-prefix-map=$(CURDIR)=. $(WARNINGS)
LDFLAGS_  := -shared -pthread -static-libstdc++ -static-libgcc -Wl,--version-script=native/nf4j.map -Wl,-z,defs -ldl

ARCH := $(shell uname -m)
ifeq ($(ARCH),x86_64)
  ISAS := generic avx2 avx512 avx512_bf16 amx_bf16
else ifeq ($(ARCH),aarch64)
  ISAS := generic neon
else
  ISAS := generic
endif
ISA_FLAGS_generic     :=
ISA_FLAGS_avx2        := -mavx2 -mfma -mf16c
ISA_FLAGS_avx512      := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512
ISA_FLAGS_avx512_bf16 := $(ISA_FLAGS_avx512) -mavx512bf16
ISA_FLAGS_amx_bf16    := $(ISA_FLAGS_avx512_bf16) -mamx-tile -mamx-bf16
ISA_FLAGS_neon        :=

# native/cpu/isa/*.cpp is compiled once for each instruction set, everything else once.
ONCE    := $(wildcard native/core/*.cpp native/reference/*.cpp native/cpu/*.cpp)
PER_ISA := $(wildcard native/cpu/isa/*.cpp)
OBJECTS := $(ONCE:native/%.cpp=$(NATIVE)/obj/%.o) \
           $(foreach isa,$(ISAS),$(PER_ISA:native/cpu/isa/%.cpp=$(NATIVE)/obj/cpu/$(isa)/%.o))
LIBRARY := $(NATIVE)/libnf4j.so

.PHONY: all
all: native java $(NATIVE)/bench/floors ## build the native library and the Java module

.PHONY: native
native: $(LIBRARY) ## build libnf4j

$(LIBRARY): $(OBJECTS) native/nf4j.map
	$(CXX) -o $@ $(OBJECTS) $(LDFLAGS_)

# What is missing is named, with the package to install, before anything fails for want of it.
.PHONY: compiler
compiler:
	@command -v $(firstword $(CXX)) >/dev/null || { \
	    echo "nf4j needs a C++ compiler, and there is no $(firstword $(CXX)): install g++ 12 or newer (Debian, Ubuntu: apt install g++)," \
	         "or name another one, as in: make CXX=clang++" >&2; exit 1; }

$(NATIVE)/obj/%.o: native/%.cpp | compiler
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(CPPFLAGS_) -MMD -MP -c $< -o $@

define isa_rule
$(NATIVE)/obj/cpu/$(1)/%.o: native/cpu/isa/%.cpp | compiler
	@mkdir -p $$(@D)
	$$(CXX) $$(CXXFLAGS) $$(CPPFLAGS_) $$(ISA_FLAGS_$(1)) -DNF4J_ISA_NAME=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call isa_rule,$(isa))))

-include $(OBJECTS:.o=.d)

# ---- the CUDA kernels on the host ------------------------------------------------------------------------------------------

# The host compiler reads the same .cu files; simt/ stands in for the device. Warp-wide unrolling is for nvcc alone.
SIMT_SOURCES := $(filter-out native/cuda/device.cu native/cuda/cublas.cu,$(wildcard native/cuda/*.cu))
SIMT_OBJECTS := $(SIMT_SOURCES:native/%.cu=$(NATIVE)/obj/simt/%.o) \
                $(patsubst native/%.cpp,$(NATIVE)/obj/%.o,$(wildcard native/simt/*.cpp) native/core/nf4_tables.cpp native/core/host.cpp)
SIMT_LIBRARY := $(NATIVE)/libnf4j-simt.so
SIMT_FLAGS   := $(CPPFLAGS_) -Wno-unknown-pragmas

.PHONY: simt
simt: $(LIBRARY) $(SIMT_LIBRARY) ## build libnf4j-simt, the CUDA kernels run by the host

$(SIMT_LIBRARY): $(SIMT_OBJECTS)
	$(CXX) -o $@ $(SIMT_OBJECTS) $(filter-out -Wl$(comma)--version-script=%,$(LDFLAGS_))

$(NATIVE)/obj/simt/%.o: native/%.cu
	@mkdir -p $(@D)
	$(CXX) -x c++ $(CXXFLAGS) $(SIMT_FLAGS) -MMD -MP -c $< -o $@

# It includes a header of the kernels.
$(NATIVE)/obj/simt/cublas.o: CPPFLAGS_ += -Wno-unknown-pragmas

-include $(SIMT_OBJECTS:.o=.d)

# Tests of simt itself are kernels, so they are linked with its objects.
SIMT_TESTS := $(patsubst native/test/simt/%.cpp,$(NATIVE)/test/simt/%,$(wildcard native/test/simt/*.cpp))

$(NATIVE)/test/simt/%: native/test/simt/%.cpp $(wildcard native/test/*.h native/test/simt/*.h) $(SIMT_OBJECTS) | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -O1 -g $(SIMT_FLAGS) $< $(SIMT_OBJECTS) -o $@ -L$(NATIVE) -lnf4j -pthread -Wl,-rpath,'$$ORIGIN/../..'

SIMT_RUN := $(NATIVE)/test/tools/simt_run

$(SIMT_RUN): native/test/tools/simt_run.cpp $(wildcard native/test/*.h native/test/simt/*.h native/test/tools/*.h) native/include/nf4j.h | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g $(WARNINGS) $< -o $@ -Inative/include -Inative -L$(NATIVE) -lnf4j -pthread -Wl,-rpath,'$$ORIGIN/../..'

.PHONY: simt-run
simt-run: simt $(SIMT_RUN) ## run one CUDA kernel on the host and count: make simt-run OP=nf4_matmul M=64 N=256 K=512 [DTYPE=f32]
	@NF4J_SIMT_SCHEDULE=$(SCHEDULE) $(SIMT_RUN) '$(OP)' '$(M)' '$(N)' '$(K)' $(or $(DTYPE),bf16)

# The teaching ladder of docs/kernels.md.
LADDER := $(NATIVE)/test/ladder

$(LADDER): native/ladder/ladder.cpp $(wildcard native/ladder/*.cuh native/test/*.h native/test/simt/*.h) $(SIMT_OBJECTS) | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -O1 -g $(SIMT_FLAGS) $< $(SIMT_OBJECTS) -o $@ -L$(NATIVE) -lnf4j -pthread -Wl,-rpath,'$$ORIGIN/..'

.PHONY: ladder
ladder: simt $(LADDER) ## climb docs/kernels.md: five kernels for one product, and what each does: make ladder [M=64 N=256 K=256]
	@$(LADDER) $(or $(M),64) $(or $(N),256) $(or $(K),256)

.PHONY: test-simt
test-simt: simt $(SIMT_TESTS) $(SIMT_RUN) $(LADDER) ## test the CUDA kernels on the host
	@set -e; for test in $(SIMT_TESTS); do echo $$test; $$test; done
	native/test/tools/heads.sh $(SIMT_RUN)
	$(LADDER) > $(NATIVE)/test/ladder.out || { cat $(NATIVE)/test/ladder.out; exit 1; }
	native/ladder/library.sh $(SIMT_RUN) >> $(NATIVE)/test/ladder.out
	@sed -n '/<!-- The l/,/^## /{/^|/p}' docs/kernels.md > $(NATIVE)/test/ladder.md
	@grep '^|' $(NATIVE)/test/ladder.out | diff -u $(NATIVE)/test/ladder.md - || { echo "docs/kernels.md has other counts"; exit 1; }

# ---- tests of the native library --------------------------------------------------------------------------------------

NATIVE_TESTS := $(patsubst native/test/%.c,$(NATIVE)/test/%,$(wildcard native/test/*.c)) \
                $(patsubst native/test/%.cpp,$(NATIVE)/test/%,$(wildcard native/test/*.cpp))
TEST_LINK    := -Inative/include -Inative -L$(NATIVE) -lnf4j -pthread -Wl,-rpath,'$$ORIGIN/..'

$(NATIVE)/test/%: native/test/%.c native/test/test.h native/include/nf4j.h | $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) -std=c11 -O1 -g $(WARNINGS) $< -o $@ $(TEST_LINK)

# A test may include what it tests.
$(NATIVE)/test/%: native/test/%.cpp | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g $(WARNINGS) -MMD -MP -MF $@.d $< -o $@ $(TEST_LINK)
-include $(wildcard $(NATIVE)/test/*.d)

# One suite for every backend, against nf4j.h alone.
CONFORMANCE         := $(NATIVE)/test/conformance
CONFORMANCE_OBJECTS := $(patsubst native/test/conformance/%.cpp,$(NATIVE)/test/obj/%.o,$(wildcard native/test/conformance/*.cpp))

$(NATIVE)/test/obj/%.o: native/test/conformance/%.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 -g1 $(WARNINGS) -Inative/include -MMD -MP -c $< -o $@

$(CONFORMANCE): $(CONFORMANCE_OBJECTS) | $(LIBRARY)
	$(CXX) -o $@ $^ $(TEST_LINK)

-include $(CONFORMANCE_OBJECTS:.o=.d)

.PHONY: conformance
conformance: $(LIBRARY) $(CONFORMANCE) ## every operation on every backend against models in double: a table
	$(CONFORMANCE) --backend all

$(NATIVE)/test/libbroken.so: native/test/conformance/broken.c native/include/nf4j.h
	@mkdir -p $(@D)
	$(CC) -std=c11 -O1 -fPIC -shared $(WARNINGS) -Inative/include $< -o $@

.PHONY: test-reports
test-reports: $(LIBRARY) $(CONFORMANCE) $(NATIVE)/test/libbroken.so ## what the conformance suite says when something is wrong
	native/test/conformance/reports.sh $(CONFORMANCE) $(NATIVE)/test/libbroken.so

# The linker keeps one of several weak symbols of a name. Code that may be compiled for more instructions than another
# object's copy of it must not be among them.
.PHONY: check-isa
check-isa: $(OBJECTS)
	@for isa in $(ISAS); do \
	    shared=$$(nm -C $(NATIVE)/obj/cpu/$$isa/*.o | grep ' [uVW] ' | grep -v "nf4j::cpu::$$isa::"); \
	    if [ -n "$$shared" ]; then echo "$$isa shares with other objects:"; echo "$$shared"; exit 1; fi; \
	done

# Out of memory at every allocation, and launches that fail. The interposer stands before libc, so it is linked first.
FAULTS      := $(NATIVE)/test/faults_test
LOST_DEVICE := $(NATIVE)/test/lost_device_test

$(NATIVE)/test/libinterpose.so: native/test/faults/interpose.c native/test/faults/interpose.h
	@mkdir -p $(@D)
	$(CC) -std=c11 -O1 -g -fPIC -shared $(WARNINGS) $< -o $@ -ldl -pthread

$(FAULTS) $(LOST_DEVICE): $(NATIVE)/test/%: native/test/faults/%.cpp $(NATIVE)/test/libinterpose.so native/include/nf4j.h | $(LIBRARY)
	$(CXX) -std=c++17 -O1 -g $(WARNINGS) $< -o $@ -L$(@D) -linterpose $(TEST_LINK) -Wl,-rpath,'$$ORIGIN'

.PHONY: test-faults
test-faults: simt $(LOST_DEVICE) $(CONFORMANCE) ## launches that fail, and lost devices, on simt
	$(LOST_DEVICE)
	LD_PRELOAD=$(NATIVE)/test/libinterpose.so $(CONFORMANCE) --backend simt --small --faults

# In two parts, which two cores run at once: simt keeps one busy for minutes.
.PHONY: conformance-nf4 conformance-others
conformance-nf4 conformance-others: $(LIBRARY) $(CONFORMANCE)
conformance-nf4:
	$(RUN) $(CONFORMANCE) --backend all --op '^(nf4|lora)' $(CONFORMANCE_ARGUMENTS)
conformance-others:
	$(RUN) $(CONFORMANCE) --backend all --op '^(?!nf4|lora)' $(CONFORMANCE_ARGUMENTS)

.PHONY: test-native
test-native: $(LIBRARY) check-isa $(NATIVE_TESTS) $(FAULTS) conformance-nf4 conformance-others ## test the native library without Java
	@native/test/abi.sh $(LIBRARY) native/include/nf4j.h $(NATIVE)/test/abi_test | diff -u native/nf4j.abi - || { \
	    echo "the C ABI is not that of native/nf4j.abi. When that is meant: make abi" >&2; exit 1; }
	@set -e; for test in $(NATIVE_TESTS) $(FAULTS); do echo $$test; $(RUN) $$test; done

.PHONY: abi
abi: $(LIBRARY) $(NATIVE)/test/abi_test ## accept a change of the C ABI; an incompatible one increases NF4J_ABI_VERSION
	native/test/abi.sh $(LIBRARY) native/include/nf4j.h $(NATIVE)/test/abi_test > native/nf4j.abi

$(NATIVE)/bench/%: bench/native/%.cpp native/include/nf4j.h | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 -g $(WARNINGS) $(filter %.cpp,$^) -o $@ $(TEST_LINK) -ldl

.PHONY: bench-native
bench-native: $(LIBRARY) $(NATIVE)/bench/gemm_bench ## matrix products beside a BLAS: make bench-native BLAS=/path/of/libopenblas.so
	$(NATIVE)/bench/gemm_bench $(or $(BLAS),-)

include native/test/checks.mk
include native/cuda/cuda.mk

MVN = JAVA_HOME=$$(bin/find-jdk) mvn -B -ntp

.PHONY: maven
maven:
	@command -v mvn >/dev/null || { \
	    echo "nf4j needs Maven 3.8 or newer, and there is no mvn on PATH: install it (Debian, Ubuntu: apt install maven)" >&2; exit 1; }
	@bin/find-jdk >/dev/null

.PHONY: java
java: maven native ## build the Java module
	$(MVN) -q -DskipTests package

CORES := $(shell nproc)

# Built on all cores, then run side by side where a part keeps one core busy, what takes longest first. The budget of the CUDA kernels
# needs to know what their tests on simt launch.
.PHONY: test
test: check-if-possible maven ## everything that needs no GPU
	$(MAKE) -j$(CORES) native simt $(NATIVE_TESTS) $(FAULTS) $(LOST_DEVICE) $(CONFORMANCE) $(SIMT_TESTS) $(SIMT_RUN) $(LADDER)
	@rm -f $(SIMT_LAUNCHES).new
	NF4J_SIMT_LAUNCHES=$(CURDIR)/$(SIMT_LAUNCHES).new $(MAKE) -j$(CORES) test-simt test-native
	@mv $(SIMT_LAUNCHES).new $(SIMT_LAUNCHES)
	$(MAKE) -j$(CORES) test-faults cuda-if-possible sanitize-quick fuzz-sample test-reports
	$(MVN) -Pdist verify
	$(MAKE) test-consumer
	$(MAKE) test-bench
	$(MAKE) mutants-sample

# ---- benchmarks ------------------------------------------------------------------------------------------------------

BENCH_DRIVERS := $(addprefix $(NATIVE)/bench/,floors peer call_cost kernel gpu_rows_sample libany_vendor.so)
$(NATIVE)/bench/peer: $(wildcard bench/native/peer*.h)
$(NATIVE)/bench/kernel: bench/native/kernel_cases.cpp bench/native/kernel_cases.h
$(NATIVE)/bench/gpu_rows_sample: bench/native/gpu_json.h bench/native/gpu_rows.h

$(NATIVE)/bench/lib%.so: bench/native/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -O1 -fPIC -shared $(WARNINGS) $< -o $@

.PHONY: bench-build
bench-build: maven native $(BENCH_DRIVERS) ## build the harness bench/nf4j-bench
	$(MVN) -q -f bench/pom.xml -DskipTests -DskipBenchTests package

.PHONY: bench
bench: bench-build ## measure the suite smoke in a minute: make bench OUT=result.json
	bench/nf4j-bench run --suite smoke --budget 60s --out $(or $(OUT),$(BUILD)/bench-$$(date -u +%Y%m%dT%H%M%S).json)

.PHONY: bench-instructions
bench-instructions: $(NATIVE)/bench/instructions ## compare instruction counts with bench/instructions.txt: exact where times are noisy
	bench/instructions.sh $< bench/instructions.txt $(UPDATE)

.PHONY: test-bench
test-bench: bench-build $(NATIVE)/bench/instructions ## test the harness
	$(MVN) -f bench/pom.xml -DskipTests verify
	bench/instructions.sh $(NATIVE)/bench/instructions bench/instructions.txt || [ $$? = 3 ]

.PHONY: mutants
mutants: maven native ## apply deliberate bugs one at a time, and see the tests notice each
	python3 src/test/mutants/run.py

# Ten of those that build fast, others for each commit. Whoever only builds and tests needs no Python.
.PHONY: mutants-sample
mutants-sample: maven native
	@if command -v python3 >/dev/null; then python3 src/test/mutants/run.py --groups native,java --sample 10; else echo "skipped mutants: no python3"; fi

.PHONY: demo
demo: all ## fine-tune a real model with QLoRA on the CPU, and show what it learned
	sh demo/run.sh

INTEROP := $(BUILD)/interop
$(INTEROP)/ready: src/test/python/requirements.txt
	python3 -m venv $(INTEROP)
	$(INTEROP)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: interop
interop: all $(INTEROP)/ready ## compare with the live PEFT, transformers and bitsandbytes (downloads 5 GB once)
	HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= $(INTEROP)/bin/python src/test/python/interop.py

include package.mk
include bench/peers.mk
include bench/gpu/gpu-check.mk
include format.mk

.PHONY: bindings
bindings: ## regenerate the Java bindings from native/include/nf4j.h
	bindings/generate.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD) target bench/*/target src/test/*/target

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
