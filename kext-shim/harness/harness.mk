# iscsi-kernel-sim: the sources of hba/ as they are, against the kernel that harness/ plays.
#
#   make harness SANITIZE=address,undefined | thread | (nothing)

SANITIZE ?= address,undefined
empty :=
comma := ,
FLAVOUR := $(if $(SANITIZE),$(subst $(comma),-,$(SANITIZE)),plain)
SIM_BUILD := $(BUILD)/sim-$(FLAVOUR)
SIM := $(SIM_BUILD)/iscsi-kernel-sim
SIM_CXX ?= clang++-$(LLVM)
SIM_FLAGS := -std=c++17 -g -O2 -fno-omit-frame-pointer -Wall -Wextra -Werror -fno-rtti -Wno-unused-parameter -pthread -MMD -MP \
    $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)
SIM_SOURCES := $(wildcard harness/runtime/*.cpp harness/sim/*.cpp)
SIM_OBJECTS := $(HBA:%.cpp=$(SIM_BUILD)/%.o) $(SIM_SOURCES:%.cpp=$(SIM_BUILD)/%.o)
SIM_CORE := $(BUILD)/rust/host/kernel/libiscsi_kext.a

harness: $(SIM)

# As the kernel compiles them: no exceptions, no RTTI, none of this system's headers.
$(SIM_BUILD)/hba/%.o: hba/%.cpp
	@mkdir -p $(@D)
	@$(SIM_CXX) $(SIM_FLAGS) -fno-exceptions -nostdinc -isystem "$$($(SIM_CXX) -print-resource-dir)/include" \
	    -isystem harness/kernel -isystem harness/bsd -Iinclude -Ihba -DKERNEL -c -o $@ $<

$(SIM_BUILD)/harness/%.o: harness/%.cpp
	@mkdir -p $(@D)
	@$(SIM_CXX) $(SIM_FLAGS) -isystem harness/kernel -Iinclude -c -o $@ $<

$(SIM): $(SIM_OBJECTS) $(SIM_CORE)
	@$(SIM_CXX) $(SIM_FLAGS) -o $@ $(SIM_OBJECTS) $(SIM_CORE)

$(SIM_CORE): FORCE
	@$(CARGO) rustc -p iscsi-kext --lib --crate-type staticlib --features kernel --profile kernel --locked --quiet \
	    --target-dir $(BUILD)/rust/build
	@mkdir -p $(@D)
	@# Whole, also for another make that links with it.
	@cmp -s $(BUILD)/rust/build/kernel/libiscsi_kext.a $@ || { cp $(BUILD)/rust/build/kernel/libiscsi_kext.a $@.$$$$ && mv $@.$$$$ $@; }

-include $(SIM_OBJECTS:.o=.d)

# The border from C, with the archive as a kernel links it.
ABI_CLIENT := $(BUILD)/abi-client
$(ABI_CLIENT): harness/abi/client.c $(wildcard include/*.h) $(SIM_CORE)
	@clang-$(LLVM) -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -Iinclude -o $@ $< $(SIM_CORE)

test: $(ABI_CLIENT)
	$(ABI_CLIENT)

# make fuzz FUZZ_SECONDS=60
FUZZ_SECONDS ?= 60
FUZZ_BUILD := $(BUILD)/fuzz
FUZZ_OBJECTS := $(HBA:%.cpp=$(FUZZ_BUILD)/%.o) $(patsubst %.cpp,$(FUZZ_BUILD)/%.o,$(wildcard harness/runtime/*.cpp) harness/fuzz/client.cpp)
FUZZ_FLAGS := -std=c++17 -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Werror -fno-rtti -Wno-unused-parameter -pthread -MMD -MP \
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DISCSI_FUNCTION_TIMEOUT=10

$(FUZZ_BUILD)/hba/%.o: hba/%.cpp
	@mkdir -p $(@D)
	@$(SIM_CXX) $(FUZZ_FLAGS) -fno-exceptions -nostdinc -isystem "$$($(SIM_CXX) -print-resource-dir)/include" \
	    -isystem harness/kernel -isystem harness/bsd -Iinclude -Ihba -DKERNEL -c -o $@ $<

$(FUZZ_BUILD)/harness/%.o: harness/%.cpp
	@mkdir -p $(@D)
	@$(SIM_CXX) $(FUZZ_FLAGS) -isystem harness/kernel -idirafter harness/bsd -Iinclude -c -o $@ $<

$(FUZZ_BUILD)/client: $(FUZZ_OBJECTS) $(SIM_CORE)
	@$(SIM_CXX) -g -pthread -fsanitize=fuzzer,address,undefined -o $@ $(FUZZ_OBJECTS) $(SIM_CORE)

.PHONY: fuzz
fuzz: $(FUZZ_BUILD)/client
	@mkdir -p $(FUZZ_BUILD)/corpus
	cd $(FUZZ_BUILD) && ./client -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 corpus

-include $(FUZZ_OBJECTS:.o=.d)
