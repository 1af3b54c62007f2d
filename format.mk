# One style, kept by tools: .clang-format and .java-format.xml say which. bindings/java is jextract's, and stays as it comes.

FORMAT       := $(BUILD)/format
CLANG_FORMAT := $(FORMAT)/bin/clang-format

$(CLANG_FORMAT): format.mk
	python3 -m venv $(FORMAT)
	$(FORMAT)/bin/pip install --quiet --disable-pip-version-check clang-format==20.1.8
	@touch $@

FORMATTED_C    = $(shell find native bench/native -name '*.[ch]' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
FORMATTED_JAVA = $(shell find src bench -name '*.java' -not -path '*/target/*')
SCRIPTS        = .ci/run bin/* $(shell find native src bench bindings demo -name '*.sh')
FORMAT_C       = $(CURDIR)/$(CLANG_FORMAT) -i $(FORMATTED_C)
FORMAT_JAVA    = $(MVN) -q formatter:format

.PHONY: format
format: $(CLANG_FORMAT) maven ## format the C, C++, CUDA and Java sources
	@$(FORMAT_C)
	@$(FORMAT_JAVA)

# Formats a copy, and names what has changed in it.
.PHONY: check
check: $(CLANG_FORMAT) maven ## see that the sources are formatted, scripts parse, and the mutants' lists fit the sources
	@rm -rf $(FORMAT)/tree && mkdir -p $(FORMAT)/tree
	@tar cf - .clang-format .java-format.xml pom.xml bin/find-jdk $(FORMATTED_C) $(FORMATTED_JAVA) | tar xf - -C $(FORMAT)/tree
	@cd $(FORMAT)/tree && $(FORMAT_C) && $(FORMAT_JAVA)
	@unformatted=$$(for file in $(FORMATTED_C) $(FORMATTED_JAVA); do cmp -s $$file $(FORMAT)/tree/$$file || echo "  $$file"; done); \
	if [ -n "$$unformatted" ]; then printf 'not formatted (make format repairs it):\n%s\n' "$$unformatted" >&2; exit 1; fi
	@for script in $(SCRIPTS); do sh -n $$script || exit 1; done
	@python3 src/test/mutants/run.py --check

# Whoever only builds and tests needs neither Python nor PyPI.
.PHONY: check-if-possible
check-if-possible:
	@if command -v python3 >/dev/null && $(MAKE) --no-print-directory $(CLANG_FORMAT) >/dev/null 2>&1; \
	then $(MAKE) --no-print-directory check; \
	else echo "skipped make check: no python3, or it cannot install clang-format"; fi
