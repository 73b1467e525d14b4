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
	@cmp -s $(BUILD)/rust/build/kernel/libiscsi_kext.a $@ || cp $(BUILD)/rust/build/kernel/libiscsi_kext.a $@

-include $(SIM_OBJECTS:.o=.d)

# The border from C, with the archive as a kernel links it.
ABI_CLIENT := $(BUILD)/abi-client
$(ABI_CLIENT): harness/abi/client.c $(wildcard include/*.h) $(SIM_CORE)
	@clang-$(LLVM) -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -Iinclude -o $@ $< $(SIM_CORE)

test: $(ABI_CLIENT)
	$(ABI_CLIENT)
