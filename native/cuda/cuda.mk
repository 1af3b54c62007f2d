# The CUDA kernels, compiled for GPUs, and what can be said of them without one.

# nvcc: CUDA_HOME, else PATH, else the usual folder, else what cuda-toolkit installed.
TOOLKIT   := $(BUILD)/cuda-toolkit
NVCC      := $(firstword $(wildcard $(CUDA_HOME)/bin/nvcc) $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc) \
                         $(wildcard $(TOOLKIT)/lib/python3.*/site-packages/nvidia/cu13/bin/nvcc))
CUDA_ROOT := $(patsubst %/bin/nvcc,%,$(NVCC))
# One cubin for each, and PTX of the last for devices that are newer.
CUDA_ARCHS   ?= 80 86 89 90a
CUDA_CODE    := $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
                -gencode arch=compute_$(lastword $(filter-out %a,$(CUDA_ARCHS))),code=compute_$(lastword $(filter-out %a,$(CUDA_ARCHS)))
# wgmma and TMA exist on sm_90a alone, and no PTX carries them to newer devices.
HOPPER_CODE  := -gencode arch=compute_90a,code=sm_90a
CUDA_FLAGS   := -std=c++17 -O3 -fmad=false -lineinfo --compress-mode=size -Werror all-warnings -DNF4J_BUILD -Inative/include -Inative \
                -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra,-Werror -Xptxas -v
CUDA_OBJECTS := $(patsubst native/%.cu,$(NATIVE)/obj/gpu/%.o,$(wildcard native/cuda/*.cu))
CUDA_LIBRARY := $(NATIVE)/libnf4j-cuda.so

.PHONY: cuda
cuda: $(LIBRARY) $(CUDA_LIBRARY) ## build libnf4j-cuda; needs nvcc (make cuda-toolkit)

$(CUDA_LIBRARY): $(CUDA_OBJECTS) $(NATIVE)/obj/core/nf4_tables.o
	$(CXX) -o $@ $^ $(filter-out -Wl$(comma)--version-script=%,$(LDFLAGS_)) -L$(CUDA_ROOT)/lib -L$(CUDA_ROOT)/lib64 -lcudart_static -lrt \
	    -Wl,--exclude-libs,ALL

# Written when CUDA_ARCHS is not what it was: then everything is compiled again.
COMPILED_ARCHS := $(NATIVE)/obj/gpu/archs

.PHONY: always
always:

$(COMPILED_ARCHS): always
	@mkdir -p $(@D)
	@echo '$(CUDA_ARCHS)' | cmp -s - $@ || echo '$(CUDA_ARCHS)' > $@

$(NATIVE)/obj/gpu/%.o: native/%.cu $(COMPILED_ARCHS)
	@mkdir -p $(@D)
	@test -n "$(NVCC)" || { echo "make cuda needs nvcc: set CUDA_HOME, or make cuda-toolkit"; exit 1; }
	$(NVCC) $(CUDA_FLAGS) $(CUDA_CODE) -MMD -MP -c $< -o $@ 2> $@.ptxas || { cat $@.ptxas; exit 1; }
	@! grep serialized $@.ptxas  # ptxas says so where products of wgmma wait for each other

$(NATIVE)/obj/gpu/cuda/%_hopper.o: CUDA_CODE := $(HOPPER_CODE)

-include $(CUDA_OBJECTS:.o=.d)

.PHONY: cuda-toolkit
cuda-toolkit: ## install the pinned nvcc from PyPI into build/cuda-toolkit
	python3 -m venv $(TOOLKIT)
	$(TOOLKIT)/bin/pip install -q --no-deps nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
	    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cuda-cuobjdump==13.2.86 nvidia-cuda-nvdisasm==13.2.86

# What the tests on simt launch, for the budget. make test leaves it; elsewhere it takes a run of them all.
SIMT_LAUNCHES := $(NATIVE)/simt-launches.txt

$(SIMT_LAUNCHES): $(SIMT_LIBRARY) $(CONFORMANCE) $(SIMT_TESTS)
	@rm -f $@.new
	@set -e; export NF4J_SIMT_LAUNCHES=$(CURDIR)/$@.new; \
	for test in $(SIMT_TESTS) "$(CONFORMANCE) --backend simt --small"; do $$test > /dev/null; done
	@mv $@.new $@

.PHONY: cuda-budget
cuda-budget: cuda $(SIMT_LAUNCHES) ## compare the kernels' registers, occupancy and main loops with native/cuda/evidence/budget.txt
	@python3 native/cuda/evidence/sass_test.py
	@python3 native/cuda/evidence/budget.py --nvcc $(NVCC) --cuobjdump $(CUDA_ROOT)/bin/cuobjdump --library $(CUDA_LIBRARY) \
	    --ptxas $(NATIVE)/obj/gpu/cuda --launches $(SIMT_LAUNCHES) --archs $(CUDA_ARCHS) $(if $(UPDATE),--update)

.PHONY: cuda-model
cuda-model: cuda ## a model of the kernels' times on a GPU, from machine code: which pipe is the limit
	@python3 native/cuda/evidence/model.py --cuobjdump $(CUDA_ROOT)/bin/cuobjdump --library $(CUDA_LIBRARY) --ptxas $(NATIVE)/obj/gpu/cuda

# Drivers that cannot be used, a GPU with everything wrong with it, and cuBLAS: a libcuda.so.1, a CUDA runtime and a libcublas that pretend. The
# libraries stand in a folder of their own, since libnf4j looks for the others beside it.
FAKE_DRIVER := $(NATIVE)/test/driver/libcuda.so.1
FAKE_GPU    := $(NATIVE)/test/driver/gpu
FAKE_CUBLAS := $(NATIVE)/test/driver/cublas/libcublas.so.13
GPU_TESTS   := $(addprefix $(NATIVE)/test/driver/,gpu_test gpu_calls_test cublas_test)

$(FAKE_DRIVER): native/test/driver/fake_cuda.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -O1 -g -fPIC -shared $(WARNINGS) $< -o $@

$(FAKE_GPU)/libnf4j-cuda.so: native/test/driver/fake_runtime.cpp $(CUDA_OBJECTS) $(NATIVE)/obj/core/nf4_tables.o
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g -fPIC -shared $(WARNINGS) -isystem $(CUDA_ROOT)/include $^ -o $@ -Wl,-z,defs -ldl

# Not a link: Java would follow it.
$(FAKE_GPU)/libnf4j.so: $(LIBRARY)
	@mkdir -p $(@D)
	cp $< $@

$(FAKE_CUBLAS): native/test/driver/fake_cublas.cpp native/core/dtype.h
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O3 -g -fPIC -shared $(WARNINGS) $< -o $@ -Inative/include -Inative

$(GPU_TESTS): $(NATIVE)/test/driver/%: native/test/driver/%.cpp $(wildcard native/test/*.h native/test/driver/*.h) $(FAKE_GPU)/libnf4j.so
	$(CXX) -std=c++17 -O1 -g $(WARNINGS) -DFAKE_GPU='"$(FAKE_GPU)"' -DFAKE_CUBLAS='"$(FAKE_CUBLAS)"' \
	    $< -o $@ -Inative/include -Inative -L$(FAKE_GPU) -lnf4j -ldl -Wl,-rpath,'$$ORIGIN/gpu'

# And of graphs that the runtime refuses: these of its functions are the test's.
GRAPH_ERRORS := $(NATIVE)/test/driver/graph_errors_test
GRAPH_CALLS  := cudaStreamIsCapturing cudaStreamBeginCapture cudaStreamEndCapture cudaGraphInstantiate cudaGraphDestroy \
                cudaGraphLaunch cudaGraphExecDestroy
$(GRAPH_ERRORS): native/test/driver/graph_errors_test.cpp $(wildcard native/test/*.h native/test/simt/*.h) $(CUDA_OBJECTS) | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g $(WARNINGS) -isystem $(CUDA_ROOT)/include $< $(CUDA_OBJECTS) $(NATIVE)/obj/core/nf4_tables.o -o $@ \
	    $(GRAPH_CALLS:%=-Wl,--wrap=%) -L$(CUDA_ROOT)/lib -L$(CUDA_ROOT)/lib64 -lcudart_static -lrt -ldl $(TEST_LINK) -Wl,-rpath,'$$ORIGIN/../..'

.PHONY: test-driver
test-driver: cuda $(NATIVE)/test/device_test $(FAKE_DRIVER) $(GRAPH_ERRORS) $(FAKE_GPU)/libnf4j-cuda.so $(FAKE_CUBLAS) $(GPU_TESTS) ## drivers, GPUs and graphs that cannot be used, and what is asked of those that can
	native/test/driver/driver.sh $(NATIVE)/test/device_test $(NATIVE)/test/driver
	$(GRAPH_ERRORS)
	@set -e; for test in $(GPU_TESTS); do $$test; done

# What make test compiles: CONTRIBUTING.md says why these.
TESTED_ARCHS := 80 90a

.PHONY: cuda-if-possible
cuda-if-possible:
	@mkdir -p $(NATIVE); log=$(NATIVE)/cuda-toolkit.log; \
	if ! command -v python3 > /dev/null; then \
	    echo "CUDA was not compiled: there is no python3, which installs nvcc and compares the budget"; \
	elif [ -n "$(NVCC)" ] && ! $(NVCC) --version | grep -q "release 1[3-9]"; then \
	    echo "CUDA was not compiled: $(NVCC) is older than CUDA 13.0"; \
	elif [ -z "$(NVCC)" ] && ! $(MAKE) cuda-toolkit > $$log 2>&1; then \
	    echo "CUDA was not compiled: there is no nvcc, and make cuda-toolkit failed: $$(grep -v ^make $$log | tail -n 1)"; \
	else \
	    $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(CORES)) cuda-budget test-driver \
	        CUDA_ARCHS="$(TESTED_ARCHS)"; \
	fi
