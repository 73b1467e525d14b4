# On a Mac: the extension, for both kinds of Mac. Command Line Tools, rustup with a nightly toolchain and rust-src.
#
#   make kext                    build/iscsi.kext, signed ad hoc
#   make kext IDENTITY="…"       signed with a certificate of the keychain
#   make symbols                 fails unless this Mac's kernel and the families named in Info.plist have what it wants

MAC_MIN ?= 13.0
IDENTITY ?= -
SDK := $(shell xcrun --sdk macosx --show-sdk-path)
KERNEL_HEADERS := $(SDK)/System/Library/Frameworks/Kernel.framework/Headers
KEXT := $(BUILD)/iscsi.kext
# Apple's own compiler: no flag of another one's optimiser.
MAC_FLAGS := -std=c++17 -mkernel -fapple-kext -fno-exceptions -fno-rtti -fno-builtin -fno-common -O2 -g -Iinclude -Ihba \
    -mmacosx-version-min=$(MAC_MIN) -isysroot $(SDK) -nostdinc -isystem $(KERNEL_HEADERS) -DKERNEL \
    -DAPPLE -DNeXT -Wall -Wextra -Werror -Wno-unused-parameter -Wno-deprecated-declarations

.PHONY: kext symbols
kext: $(KEXT)/Contents/MacOS/iscsi

define mac_arch
$(BUILD)/mac/$(1)/%.o: hba/%.cpp
	@mkdir -p $$(@D)
	clang++ -arch $(1) $(MAC_FLAGS) -c -o $$@ $$<
$(BUILD)/mac/$(1)/kmod.o: mac/kmod.c
	@mkdir -p $$(@D)
	clang -arch $(1) $(filter-out -std=c++17 -fapple-kext -fno-rtti,$(MAC_FLAGS)) -c -o $$@ $$<
$(BUILD)/mac/$(1)/iscsi: $(HBA:hba/%.cpp=$(BUILD)/mac/$(1)/%.o) $(BUILD)/mac/$(1)/kmod.o $(BUILD)/rust/$(1)-xnu-kext/kernel/libiscsi_kext.a
	clang++ -arch $(1) -mmacosx-version-min=$(MAC_MIN) -isysroot $(SDK) -nostdlib -Xlinker -kext -Xlinker -export_dynamic \
	    -o $$@ $$^ -lkmodc++ -lkmod -lcc_kext
endef
$(foreach kernel,$(KERNELS),$(eval $(call mac_arch,$(kernel))))

$(KEXT)/Contents/MacOS/iscsi: $(foreach kernel,$(KERNELS),$(BUILD)/mac/$(kernel)/iscsi) Info.plist
	@mkdir -p $(@D)
	lipo -create -output $@ $(filter %/iscsi,$^)
	cp Info.plist $(KEXT)/Contents/Info.plist
	codesign --force --sign "$(IDENTITY)" $(KEXT)

# By its exit code and by its words, as kextlibs(8) has them.
symbols: kext
	kmutil libraries -p $(KEXT) --undef-symbols > $(BUILD)/symbols.txt
	cat $(BUILD)/symbols.txt
	! grep -i 'not found' $(BUILD)/symbols.txt
