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

.PHONY: sanitize-thread
sanitize-thread:
	$(call built,tsan,$(TSAN_FLAGS),sanitized-tests)

# allocator_may_return_null: tests ask for more memory than there is.
.PHONY: sanitized-tests
sanitized-tests: $(LIBRARY) $(NATIVE_TESTS) $(CONFORMANCE)
	@set -e; export ASAN_OPTIONS=allocator_may_return_null=1 TSAN_OPTIONS=allocator_may_return_null=1; \
	for test in $(NATIVE_TESTS); do echo $$test; $$test; done; \
	$(CONFORMANCE) --backend all --small
