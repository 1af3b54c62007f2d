# Checks that need a build of their own: they run tests of the Makefile's, built in another way.

# $(call built,<folder>,<flags>,<targets>): makes targets of this Makefile with other compiler flags, under build/<folder>.
built = +@$(MAKE) --no-print-directory BUILD=$(BUILD)/$(1) CXX='$(CXX) $(2)' CC='$(CC) $(2)' CXXFLAGS='-O1 -g1' $(3)

# g++ takes std::regex for uninitialized when it is built with a sanitizer.
SANITIZER_FLAGS := -fno-omit-frame-pointer -fno-sanitize-recover=all -Wno-maybe-uninitialized
ASAN_FLAGS      := -fsanitize=address,undefined $(SANITIZER_FLAGS)
TSAN_FLAGS      := -fsanitize=thread $(SANITIZER_FLAGS)

.PHONY: sanitize
sanitize: sanitize-address sanitize-thread sanitize-simt ## the native tests under AddressSanitizer, UBSan and ThreadSanitizer

.PHONY: sanitize-address
sanitize-address:
	$(call built,asan,$(ASAN_FLAGS),sanitized-tests)

# What shares work among threads, and what runs beside it.
.PHONY: sanitize-thread
sanitize-thread:
	$(call built,tsan,$(TSAN_FLAGS),sanitized-tests CONFORMANCE_OP='lora|attention_forward|loss|adamw')

# allocator_may_return_null: tests ask for more memory than there is.
.PHONY: sanitized-tests
sanitized-tests: $(LIBRARY) $(NATIVE_TESTS) $(CONFORMANCE)
	@set -e; export ASAN_OPTIONS=allocator_may_return_null=1 TSAN_OPTIONS=allocator_may_return_null=1; \
	for test in $(NATIVE_TESTS); do echo $$test; $$test; done; \
	$(CONFORMANCE) --backend all --small --op '$(CONFORMANCE_OP)'

# The CUDA kernels on the host: what they read and write beyond a matrix.
.PHONY: sanitize-simt
sanitize-simt: ## the CUDA kernels on the host under AddressSanitizer and UBSan
	$(call built,asan-quick,$(ASAN_FLAGS),sanitized-simt ISAS=generic)

.PHONY: sanitized-simt
sanitized-simt: simt $(SIMT_TESTS) $(CONFORMANCE)
	@set -e; export ASAN_OPTIONS=allocator_may_return_null=1; for test in $(SIMT_TESTS); do echo $$test; $$test; done
	ASAN_OPTIONS=allocator_may_return_null=1 $(CONFORMANCE) --backend simt --small --op '$(CONFORMANCE_OP)'

# What make test runs of it: no kernels but the reference's and the generic ones, which are built in seconds.
QUICK_ADDRESS := $(patsubst native/test/%.c,%,$(wildcard native/test/*.c)) device_test
QUICK_THREAD  := threads_test cores_test
.PHONY: sanitize-quick
sanitize-quick: ## the C tests under AddressSanitizer and UBSan, those of threads under ThreadSanitizer
	$(call built,asan-quick,$(ASAN_FLAGS),quick-tests ISAS=generic QUICK='$(QUICK_ADDRESS)')
	$(call built,tsan-quick,$(TSAN_FLAGS),quick-tests ISAS=generic QUICK='$(QUICK_THREAD)')

.PHONY: quick-tests
quick-tests: $(LIBRARY) $(QUICK:%=$(NATIVE)/test/%)
	@set -e; export ASAN_OPTIONS=allocator_may_return_null=1 TSAN_OPTIONS=allocator_may_return_null=1; \
	for test in $(QUICK); do $(NATIVE)/test/$$test; done

# Where the compiler has no sanitizers. device_test runs simt, whose stacks valgrind does not follow.
VALGRIND := valgrind --quiet --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite
.PHONY: valgrind
valgrind: $(LIBRARY) $(NATIVE_TESTS) $(CONFORMANCE) ## the C tests, and some of the conformance suite, under valgrind
	@command -v valgrind >/dev/null || { echo "there is no valgrind on PATH (Debian, Ubuntu: apt install valgrind)" >&2; exit 1; }
	@set -e; for test in $(filter-out device_test,$(QUICK_ADDRESS)); do echo $$test; $(VALGRIND) $(NATIVE)/test/$$test; done
	$(VALGRIND) $(CONFORMANCE) --backend reference --small --op '$(or $(CONFORMANCE_OP),norm|nf4_matmul$$|memory)'

# The Java tests over the instrumented library: make sanitize-java TESTS=LifetimeTest. The JVM uses SIGSEGV itself, and leaks at
# its end.
TESTS ?= LifetimeTest,DeviceTest,ConcurrencyTest,OpsTest,ArgumentTest,Nf4FixtureTest,BackwardRulesTest
.PHONY: sanitize-java
sanitize-java: java
	$(call built,asan,$(ASAN_FLAGS),$(BUILD)/asan/native/libnf4j.so)
	ASAN_OPTIONS=handle_segv=0:allow_user_segv_handler=1:detect_leaks=0:allocator_may_return_null=1 \
	    LD_PRELOAD=$$($(CXX) -print-file-name=libasan.so) \
	    $(MVN) -Dnf4j.native=$(CURDIR)/$(BUILD)/asan/native -Dtest=$(TESTS) -Dsurefire.failIfNoSpecifiedTests=false surefire:test

# For programs in the test sources that are no JUnit tests.
.PHONY: test-classes
test-classes: maven native
	$(MVN) -q test-compile dependency:build-classpath -Dmdep.outputFile=$(CURDIR)/$(BUILD)/test-classpath
	@printf 'target/classes:target/test-classes:' | cat - $(BUILD)/test-classpath > $(BUILD)/test-classpath.new
	@mv $(BUILD)/test-classpath.new $(BUILD)/test-classpath

# The heap has its full size from the start, so that resident memory tells of everything else.
MINUTES ?= 1
.PHONY: soak
soak: test-classes $(NATIVE)/test/libinterpose.so ## load, train and close for a minute: nothing may pile up (MINUTES=60)
	LD_PRELOAD=$(NATIVE)/test/libinterpose.so $$(bin/find-jdk)/bin/java \
	    -Xms256m -Xmx256m -XX:+AlwaysPreTouch -XX:+UseSerialGC --enable-native-access=ALL-UNNAMED -Dai.djl.offline=true \
	    -Dnf4j.library.path=$(NATIVE) -cp $$(cat $(BUILD)/test-classpath) \
	    io.github.nf4j.train.SoakRun $(NATIVE)/test/libinterpose.so \
	    src/test/resources/fixtures/models/llama-tied $$(( $(MINUTES) * 60 ))

# Readers of files under Jazzer, one format after the other: make fuzz SECONDS_EACH=600 FORMATS=gguf. A find fails, and src/test/fuzz.sh says
# how to see it again; made small, it goes to src/test/resources/fuzz/<format>/, from where FuzzCorpusTest replays it.
JAZZER       := $(BUILD)/jazzer
SECONDS_EACH ?= 60
FORMATS      ?= safetensors gguf config tokenizer adapter jsonl quant_state

$(JAZZER)/jazzer.jar: | maven
	$(MVN) -q dependency:copy -Dartifact=com.code-intelligence:jazzer-api:0.30.0 -Dmdep.stripVersion -DoutputDirectory=$(JAZZER)
	$(MVN) -q dependency:copy -Dartifact=com.code-intelligence:jazzer:0.30.0 -Dmdep.stripVersion -DoutputDirectory=$(JAZZER)

.PHONY: fuzz
fuzz: test-classes $(JAZZER)/jazzer.jar ## fuzz the readers of files with Jazzer (downloads it once)
	@for format in $(FORMATS); do src/test/fuzz.sh $$format $(SECONDS_EACH) $(BUILD) $(INPUT) || exit 1; done

# One format, another for each commit.
.PHONY: fuzz-sample
fuzz-sample:
	@set -- $(FORMATS); shift $$((0x$$(git rev-parse --short=7 HEAD 2>/dev/null || echo 0) % $$#)); $(MAKE) --no-print-directory fuzz FORMATS=$$1
