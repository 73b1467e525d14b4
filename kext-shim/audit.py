#!/usr/bin/env python3
"""Checks the object of the protocol core before it goes into a kernel.

    audit.py ARCHITECTURE ARCHIVE

No vector or x87 instruction on x86_64 (the kernel does not save those registers for us), nothing stored below the stack
pointer (an interrupt would overwrite it), no thread-local storage, and nothing wanted from outside but what the
kernel has for everybody.
"""
import os
import re
import subprocess
import sys
import tempfile

WANTED = {"_IOMallocAligned", "_IOFreeAligned", "_panic", "_memcpy", "_memmove", "_memset", "_memcmp", "_bzero", "___bzero"}
VECTOR = re.compile(r"%(?:[xyz]mm\d|mm[0-7]|st\b|k[0-7]\b)|\bf(?:ld|st|add|mul)\w*\b")
BELOW = {"x86_64": re.compile(r",\s*-(?:0x)?[0-9a-f]+\(%rsp\)"), "arm64e": re.compile(r"\bst\w*\b.*\[sp, #-[^\]]*\](?!!)")}


def tool(name):
    suffix = os.environ.get("LLVM_SUFFIX", "-22")
    return name + suffix


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def main(architecture, archive):
    members = [name for name in run(tool("llvm-ar"), "t", archive).split() if name.startswith("iscsi_kext")]
    if len(members) != 1:
        return [f"{archive} has {len(members)} objects of the core instead of one: was it built with fat LTO?"]
    with tempfile.TemporaryDirectory() as directory:
        run(tool("llvm-ar"), "x", os.path.abspath(archive), members[0], cwd=directory)
        found = os.path.join(directory, members[0])
        code = run(tool("llvm-objdump"), "-d", "--no-show-raw-insn", found)
        sections = run(tool("llvm-objdump"), "-h", found)
        names = run(tool("llvm-nm"), found)
    undefined = {line.split()[-1] for line in names.splitlines() if " U " in line}
    exported = {line.split()[-1] for line in names.splitlines() if " T " in line}
    wrong = [f"it wants {name}, which is not in the list" for name in sorted(undefined - WANTED)]
    # Stack frames without a red zone never store there.
    instructions = [line.split("\t", 1)[1] for line in code.splitlines() if re.match(r"\s*[0-9a-f]+:\s", line) and "\t" in line]
    if len(instructions) < 1000:
        wrong.append(f"only {len(instructions)} instructions were found")
    wrong += [f"vector or x87: {line.strip()}" for line in instructions if architecture == "x86_64" and VECTOR.search(line)][:5]
    wrong += [f"below the stack pointer: {line.strip()}" for line in instructions if BELOW[architecture].search(line)][:5]
    if "__thread" in sections:
        wrong.append("it has thread-local storage")
    calls = sorted(name for name in exported if name.startswith("_iscsi_"))
    if "_iscsi_session_create" not in calls:
        wrong.append("it does not have the calls")
    strange = sorted(name for name in exported if not name.startswith(("_iscsi_", "__R")) and name not in WANTED)
    wrong += [f"it has {name}, which may clash with the kernel's" for name in strange if not name.startswith("__ZN")]
    if not wrong:
        print(f"{architecture}: {len(instructions)} instructions, {len(calls)} calls, wants {', '.join(sorted(undefined))}")
    return wrong


if __name__ == "__main__":
    problems = main(sys.argv[1], sys.argv[2])
    for problem in problems:
        print(f"{sys.argv[2]}: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)
