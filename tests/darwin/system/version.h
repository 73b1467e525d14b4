// The macOS that the program finds: 13.5 (xnu-8796.141.3), of the oldest that it is made for. Some of what is modelled
// was read in later sources: their tags are cited there.
#pragma once

#ifdef __aarch64__
#define DARWIN_MACHINE_NAME "arm64"
#define DARWIN_KERNEL "RELEASE_ARM64_T8103"
#else
#define DARWIN_MACHINE_NAME "x86_64"
#define DARWIN_KERNEL "RELEASE_X86_64"
#endif

#define DARWIN_SYSTEM "Darwin"
#define DARWIN_RELEASE "22.6.0"
#define DARWIN_PRODUCT "13.5"
#define DARWIN_BUILD "22G74"
#define DARWIN_VERSION \
    "Darwin Kernel Version 22.6.0: Wed Jul  5 22:21:56 PDT 2023; root:xnu-8796.141.3~6/" DARWIN_KERNEL
