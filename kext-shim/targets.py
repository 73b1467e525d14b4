#!/usr/bin/env python3
"""Writes the two kernel targets, made out of rustc's own specifications, so that a new rustc brings its new fields.

    targets.py DIRECTORY
"""
import json
import os
import subprocess
import sys

# What a kernel has no loader, unwinder or thread-local storage for, and what only tells people something.
DROPPED = ("metadata", "supported-sanitizers", "supports-xray", "target-mcount", "has-thread-local", "dynamic-linking",
           "has-rpath", "stack-probes")
# The name of the system stays macOS: rustc stops at an Apple target with any other.
KERNEL = {"panic-strategy": "abort", "disable-redzone": True, "relocation-model": "static",
          "position-independent-executables": False, "eh-frame-header": False, "default-uwtable": False,
          "target-family": []}
# No vector registers: the kernel does not save them for us.
X86_64 = {"features": "-mmx,-sse,-sse2,-sse3,-ssse3,-sse4.1,-sse4.2,-avx,-avx2,+soft-float", "rustc-abi": "softfloat",
          "max-atomic-width": 64}


def specification(target):
    command = [os.environ.get("RUSTC", "rustc"), "-Zunstable-options", "--print", "target-spec-json", "--target", target]
    return json.loads(subprocess.check_output(command, env={**os.environ, "RUSTC_BOOTSTRAP": "1"}))


def kernel(target, extra):
    made = {key: value for key, value in specification(target).items() if key not in DROPPED}
    return {**made, **KERNEL, **extra}


directory = sys.argv[1]
os.makedirs(directory, exist_ok=True)
for name, target, extra in (("x86_64-xnu-kext", "x86_64-apple-darwin", X86_64), ("arm64e-xnu-kext", "arm64e-apple-darwin", {})):
    path = os.path.join(directory, name + ".json")
    text = json.dumps(kernel(target, extra), indent=1, sort_keys=True)
    if not os.path.exists(path) or open(path).read() != text:
        with open(path, "w") as file:
            file.write(text)
