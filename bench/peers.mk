# The libraries that nf4j-bench measures beside its own. Included by the Makefile.

PEERS := $(BUILD)/peers

# OpenBLAS and MKL.
$(PEERS)/ready: bench/peers/requirements.txt
	python3 -m venv --clear $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# The newest MKL that lets another library answer for the processor's vendor (bench/native/any_vendor.c).
$(PEERS)/mkl-2024: | $(PEERS)/ready
	$(PEERS)/bin/pip download --quiet --disable-pip-version-check --no-deps --dest $@ mkl==2024.2.2
	$(PEERS)/bin/python -m zipfile -e $@/*.whl $@

# PyPI has no oneDNN with a CPU runtime after 2023.2: later wheels need SYCL devices.
$(PEERS)/onednn: | $(PEERS)/ready maven
	$(MVN) -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack -Dartifact=org.bytedeco:dnnl:3.13-1.5.14:jar:linux-x86_64 \
	    -DoutputDirectory=$(CURDIR)/$@

# PyPI has llama.cpp as source: its product is built for the processor of this machine.
LLAMA_CPP := $(PEERS)/llama-cpp
$(LLAMA_CPP)/bin/libggml.so: | $(PEERS)/ready
	$(PEERS)/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python --dest $(LLAMA_CPP) llama-cpp-python==0.3.36
	tar -xzf $(LLAMA_CPP)/llama_cpp_python-*.tar.gz -C $(LLAMA_CPP) --strip-components=1
	$(PEERS)/bin/cmake -S $(LLAMA_CPP)/vendor/llama.cpp -B $(LLAMA_CPP) -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON \
	    -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF \
	    > $(LLAMA_CPP)/cmake.log
	$(PEERS)/bin/cmake --build $(LLAMA_CPP) --target ggml --parallel $$(nproc) > $(LLAMA_CPP)/build.log

.PHONY: bench-peers
bench-peers: $(PEERS)/mkl-2024 $(PEERS)/onednn $(LLAMA_CPP)/bin/libggml.so ## fetch OpenBLAS, MKL, oneDNN and llama.cpp, to measure beside (2.5 GB)

.PHONY: bench-libtorch
bench-libtorch: maven ## fetch libtorch and DJL, to measure beside (120 MB, 550 unpacked)
	$(MVN) -q -f bench/libtorch/pom.xml package
