# The jar that others link: its natives, its packaging, and the tests of both. Included by the Makefile.

# A platform's folder is named as Java names it: os.name-os.arch.
JAVA_ARCH_x86_64 := amd64
PLATFORM         := Linux-$(or $(JAVA_ARCH_$(ARCH)),$(ARCH))
NATIVES          := $(BUILD)/natives
PACKED           := $(NATIVES)/$(PLATFORM)/libnf4j.so
STRIP            ?= strip

native: $(PACKED)

$(PACKED): $(LIBRARY)
	@mkdir -p $(@D)
	$(STRIP) --strip-debug -o $@ $<

# AArch64 is built by a second make with another compiler, into a folder of its own.
CROSS   := aarch64-linux-gnu-
AARCH64 := $(BUILD)/aarch64
AARCH64_MAKE = $(MAKE) --no-print-directory ARCH=aarch64 BUILD=$(AARCH64) CXX=$(CROSS)g++ CC=$(CROSS)gcc STRIP=$(CROSS)strip

ifeq ($(shell command -v $(CROSS)g++),)
.PHONY: cross-natives test-aarch64
cross-natives test-aarch64:
	@rm -rf $(NATIVES)/Linux-aarch64
	@echo "Without AArch64: there is no $(CROSS)g++ (Debian, Ubuntu: apt install g++-aarch64-linux-gnu qemu-user)." >&2
else
.PHONY: cross-natives
cross-natives:
	+$(AARCH64_MAKE) native
	@mkdir -p $(NATIVES) && rm -rf $(NATIVES)/Linux-aarch64 && cp -r $(AARCH64)/natives/Linux-aarch64 $(NATIVES)/

.PHONY: test-aarch64
test-aarch64: ## build for AArch64 and run its C tests and conformance suite under qemu
	@command -v qemu-aarch64 >/dev/null || { \
	    echo "test-aarch64 needs qemu-aarch64, and there is none on PATH (Debian, Ubuntu: apt install qemu-user)" >&2; exit 1; }
	+$(AARCH64_MAKE) test-native RUN="qemu-aarch64 -L /usr/aarch64-linux-gnu" CONFORMANCE_ARGUMENTS=--small
endif

.PHONY: package
package: maven native $(if $(filter aarch64,$(ARCH)),,cross-natives) ## one jar with all natives, sources and javadoc: target/nf4j-VERSION*.jar
	umask 022 && $(MVN) -q -Pdist -Dmaven.test.skip=true '-Dnf4j.platforms=*' clean package

# Two clones at different places, each compiled from nothing, the second under another umask, time zone and locale.
REPRODUCED = $(CURDIR)/$(BUILD)/reproducible
.PHONY: check-reproducible
check-reproducible: maven ## see that two builds of HEAD in different folders give the same bytes
	@rm -rf $(REPRODUCED) && mkdir -p $(REPRODUCED)
	@git clone -q . $(REPRODUCED)/one && git clone -q . $(REPRODUCED)/quite/another
	+@CCACHE_DISABLE=1 $(MAKE) -s -C $(REPRODUCED)/one package
	+@umask 077 && CCACHE_DISABLE=1 TZ=Asia/Tokyo LC_ALL=C $(MAKE) -s -C $(REPRODUCED)/quite/another package
	@cd $(REPRODUCED)/one/target && for jar in nf4j-*.jar; do \
	    cmp $$jar $(REPRODUCED)/quite/another/target/$$jar && sha256sum $$jar || exit 1; done

# A Maven repository of this build, where the projects below find the packaged jar as others will.
REPOSITORY := $(BUILD)/repository
.PHONY: repository
repository: java
	@rm -rf $(REPOSITORY)
	@$(MVN) -q org.apache.maven.plugins:maven-deploy-plugin:3.1.4:deploy-file -DrepositoryId=nf4j -Durl=file://$(CURDIR)/$(REPOSITORY) \
	    -DpomFile=pom.xml -Dfile=$$(ls target/nf4j-*[!cs].jar)  # not -javadoc, not -sources

.PHONY: test-consumer
test-consumer: repository ## a framework that links the packaged jar, on the module path and on the class path
	$(MVN) -q -f src/test/consumer/pom.xml clean test

.PHONY: test-djl
test-djl: repository ## nf4j on the memory of DJL's arrays, beside DJL's own products (fetches 120 MB, 550 unpacked)
	$(MVN) -q -f src/test/djl/pom.xml clean test
