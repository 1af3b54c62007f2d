# The kit that checks and measures the cuda backend on a machine with a GPU. Included by the Makefile.

GPU_KIT := $(BUILD)/gpu-check/nf4j-gpu-kit.tar.gz

# Built with the headers of the toolkit that builds libnf4j-cuda.
$(NATIVE)/bench/gpu_bench: bench/native/gpu_bench.cpp $(wildcard bench/native/gpu*.h) native/include/nf4j.h | $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 -g $(WARNINGS) -I$(CUDA_ROOT)/include $< -o $@ $(TEST_LINK) -ldl

.PHONY: gpu-kit
gpu-kit: cuda simt $(CONFORMANCE) $(addprefix $(NATIVE)/test/,device_test graph_test) $(NATIVE)/bench/gpu_bench java bench-build test-classes
	bench/gpu/kit.sh $(BUILD) $(GPU_KIT)

# On a machine without a GPU the kit runs in small, on simt: that shows that it works, and measures nothing.
.PHONY: gpu-check
gpu-check: test-driver gpu-kit ## pack, and run, the checks and benchmarks of a GPU: make gpu-check [MODEL=file.gguf]
	bench/gpu/check.sh $(GPU_KIT) $(BUILD)/gpu-check/run $(MODEL)
