# The kit that checks and measures the cuda backend on a machine with a GPU. Included by the Makefile.

GPU_KIT := $(BUILD)/gpu-check/nf4j-gpu-kit.tar.gz

# Built with the headers of the toolkit that builds libnf4j-cuda.
$(NATIVE)/bench/gpu_bench: bench/native/gpu_bench.cpp $(wildcard bench/native/gpu*.h) native/include/nf4j.h | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 -g $(WARNINGS) -I$(CUDA_ROOT)/include $< -o $@ $(TEST_LINK) -ldl

# What the library says where there is no driver, or one that cannot be used.
FAKE_DRIVER := $(NATIVE)/test/driver/libcuda.so.1
$(FAKE_DRIVER): native/test/driver/fake_cuda.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -O1 -g -fPIC -shared $(WARNINGS) $< -o $@

# And of graphs that the runtime refuses: these of its functions are the test's.
GRAPH_ERRORS := $(NATIVE)/test/driver/graph_errors_test
GRAPH_CALLS  := cudaStreamIsCapturing cudaStreamBeginCapture cudaStreamEndCapture cudaGraphInstantiate cudaGraphDestroy \
                cudaGraphLaunch cudaGraphExecDestroy
$(GRAPH_ERRORS): native/test/driver/graph_errors_test.cpp $(wildcard native/test/*.h native/test/simt/*.h) $(CUDA_OBJECTS) | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g $(WARNINGS) -isystem $(CUDA_ROOT)/include $< $(CUDA_OBJECTS) $(NATIVE)/obj/core/nf4_tables.o -o $@ \
	    $(GRAPH_CALLS:%=-Wl,--wrap=%) -L$(CUDA_ROOT)/lib -L$(CUDA_ROOT)/lib64 -lcudart_static -lrt -ldl $(TEST_LINK) -Wl,-rpath,'$$ORIGIN/../..'

.PHONY: test-driver
test-driver: cuda $(NATIVE)/test/device_test $(FAKE_DRIVER) $(GRAPH_ERRORS)
	native/test/driver/driver.sh $(NATIVE)/test/device_test $(NATIVE)/test/driver
	$(GRAPH_ERRORS)

.PHONY: gpu-kit
gpu-kit: cuda simt $(CONFORMANCE) $(addprefix $(NATIVE)/test/,device_test graph_test) $(NATIVE)/bench/gpu_bench java bench-build test-classes
	bench/gpu/kit.sh $(BUILD) $(GPU_KIT)

# On a machine without a GPU the kit runs in small, on simt: that shows that it works, and measures nothing.
.PHONY: gpu-check
gpu-check: test-driver gpu-kit ## pack, and run, the checks and benchmarks of a GPU: make gpu-check [MODEL=file.gguf]
	bench/gpu/check.sh $(GPU_KIT) $(BUILD)/gpu-check/run $(MODEL)
