# Checks that need a build of their own: they run tests of the Makefile's, built in another way.

# $(call built,<folder>,<flags>,<targets>): makes targets of this Makefile with other compiler flags, under build/<folder>.
built = +@$(MAKE) --no-print-directory BUILD=$(BUILD)/$(1) CXX='$(CXX) $(2)' CC='$(CC) $(2)' CXXFLAGS='-O1 -g1' $(3)

# g++ takes std::regex for uninitialized when it is built with a sanitizer.
SANITIZER_FLAGS := -fno-omit-frame-pointer -fno-sanitize-recover=all -Wno-maybe-uninitialized
ASAN_FLAGS      := -fsanitize=address,undefined $(SANITIZER_FLAGS)
TSAN_FLAGS      := -fsanitize=thread $(SANITIZER_FLAGS)

.PHONY: sanitize
sanitize: sanitize-address sanitize-thread ## the native tests under AddressSanitizer, UBSan and ThreadSanitizer

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

# The Java tests over the instrumented library: make sanitize-java TESTS=LifetimeTest. The JVM uses SIGSEGV itself, and leaks at its end.
TESTS ?= LifetimeTest,DeviceTest,OpsTest,ArgumentTest,Nf4FixtureTest,BackwardRulesTest
.PHONY: sanitize-java
sanitize-java: java
	$(call built,asan,$(ASAN_FLAGS),$(BUILD)/asan/native/libnf4j.so)
	ASAN_OPTIONS=handle_segv=0:allow_user_segv_handler=1:detect_leaks=0:allocator_may_return_null=1 \
	    LD_PRELOAD=$$($(CXX) -print-file-name=libasan.so) \
	    $(MVN) -Dnf4j.native=$(CURDIR)/$(BUILD)/asan/native -Dtest=$(TESTS) -Dsurefire.failIfNoSpecifiedTests=false surefire:test
