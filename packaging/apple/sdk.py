#!/usr/bin/env python3
"""What of macOS the program links: text stubs of the system libraries, made from the lists in symbols/.

With them LLVM's linker links a Mach-O program on any machine. The lists are at the same time the allow-list of
what the program may import: a symbol is in them because somebody looked it up in Apple's SDK and found it there.

usage: sdk.py make DIR             DIR/usr/lib/libSystem.tbd … : an SDKROOT
       sdk.py explain LOG          the undefined symbols of a failed link: which file each belongs to
       sdk.py check BINARY...      fail unless each is signed, for macOS 13, and imports what is listed only
       sdk.py verify SDK           fail unless a real SDK has every symbol (xcrun --show-sdk-path names one)

A list has a symbol a line; after it, the one architecture that has it, if it is one; after a # a remark.
"""
import os, re, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
MINIMUM = "13.0"
ARCHITECTURES = ("x86_64", "arm64")
FRAMEWORKS = ("CoreFoundation", "DiskArbitration", "Foundation", "IOKit", "Security", "SystemConfiguration")
LIBRARIES = {"libSystem": "libSystem.B", "libiconv": "libiconv.2", "libobjc": "libobjc.A"}
# rustc asks for these by name; on a Mac all of them are libSystem.
ALIASES = {"libSystem": ("libc", "libm", "libpthread")}
# Where a symbol most likely belongs; the first that fits.
PREFIXES = (
    (r"_k?OSX?CFB|_k?IO|_kOSK", "IOKit"), (r"_k?DA[A-Z]|_kDADisk", "DiskArbitration"), (r"_k?SC[A-Z]", "SystemConfiguration"),
    (r"_k?(Sec|CSSM|SSL|CMS|Auth)", "Security"), (r"_(k?CF|___CFConstant)", "CoreFoundation"),
    (r"_(OBJC_CLASS_\$_|OBJC_METACLASS_\$_)?NS[A-Z]", "Foundation"), (r"_objc_|__objc_|_(sel|class|method)_", "libobjc"),
    (r"_iconv", "libiconv"), (r"", "libSystem"))


def names():
    return sorted(LIBRARIES) + sorted(FRAMEWORKS)


def install_name(library):
    if library in LIBRARIES:
        return f"/usr/lib/{LIBRARIES[library]}.dylib"
    version = "C" if library == "Foundation" else "A"
    return f"/System/Library/Frameworks/{library}.framework/Versions/{version}/{library}"


def listed(library):
    """[(symbol, architectures)]"""
    found = []
    with open(os.path.join(HERE, "symbols", library + ".txt")) as lines:
        for line in lines:
            words = line.split("#")[0].split()
            if not words:
                continue
            if len(words) > 2 or any(word not in ARCHITECTURES for word in words[1:]):
                sys.exit(f"{library}.txt: a symbol and at most one of {', '.join(ARCHITECTURES)}, not: {line.strip()}")
            found.append((words[0], tuple(words[1:]) or ARCHITECTURES))
    doubles = {symbol for symbol, _ in found if [s for s, _ in found].count(symbol) > 1}
    if doubles:
        sys.exit(f"{library}.txt has these twice: {', '.join(sorted(doubles))}")
    return found


def make(directory):
    """Two may make one at the same time: a file appears whole, and one that is not made any more goes."""
    made = set()
    for library in names():
        symbols = listed(library)
        parts = []
        for architectures in (ARCHITECTURES, *((one,) for one in ARCHITECTURES)):
            some = [symbol for symbol, on in symbols if on == architectures]
            targets = ", ".join(f"{one}-macos" for one in architectures)
            if some:
                quoted = ", ".join(f"'{symbol}'" for symbol in some)
                parts.append(f"  - targets: [ {targets} ]\n    symbols: [ {quoted} ]\n")
        everything = ", ".join(f"{one}-macos" for one in ARCHITECTURES)
        exports = "exports:\n" + "".join(parts) if parts else ""
        text = (f"--- !tapi-tbd\ntbd-version: 4\ntargets: [ {everything} ]\n"
                f"install-name: '{install_name(library)}'\n{exports}...\n")
        if library in LIBRARIES:
            places = [f"usr/lib/{name}.tbd" for name in (library, *ALIASES.get(library, ()))]
        else:
            places = [f"System/Library/Frameworks/{library}.framework/{library}.tbd"]
        for place in places:
            path = os.path.join(directory, place)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(f"{path}.{os.getpid()}", "w") as out:
                out.write(text)
            os.replace(out.name, path)
            made.add(path)
    for place, _, files in os.walk(directory):
        for name in files:
            if name.endswith(".tbd") and os.path.join(place, name) not in made:
                os.remove(os.path.join(place, name))


def explain(log):
    with open(log) as lines:
        text = lines.read()
    undefined = sorted(set(re.findall(r"undefined symbol: (\S+)", text)))
    missing = sorted(set(re.findall(r"(?:library|framework) not found for (?:-l|-framework )?(\S+)", text)))
    for library in missing:
        print(f"The program wants the library {library}, of which there is no stub: name it in packaging/apple/sdk.py and "
              f"list its symbols in packaging/apple/symbols/{library}.txt.")
    by_library = {}
    for symbol in undefined:
        library = next(library for pattern, library in PREFIXES if re.match(pattern, symbol))
        by_library.setdefault(library, []).append(symbol)
    for library, symbols in by_library.items():
        print(f"Not in packaging/apple/symbols/{library}.txt:\n  " + "\n  ".join(symbols))
    if undefined:
        print("Look each up in Apple's SDK of macOS 13 (a header that does not say a later macOS), add it to the file, "
              "and where there is an SDK, run packaging/apple/sdk.py verify SDK.")


def tool(name):
    return name + os.environ.get("LLVM_SUFFIX", "")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check(binary):
    """What is wrong with a program, in sentences."""
    wrong = []
    architectures = output(tool("llvm-lipo"), "-archs", binary).split()
    allowed = {install_name(library): {symbol: on for symbol, on in listed(library)} for library in names()}
    for architecture in architectures:
        said = f"{binary} ({architecture})"
        headers = output(tool("llvm-objdump"), "--macho", f"--arch={architecture}", "--private-headers", binary)
        build = re.search(r"cmd LC_BUILD_VERSION\n.*?platform (\S+)\n.*?minos (\S+)\n", headers, re.S)
        if not build or build.group(1).lower() not in ("macos", "1") or build.group(2) != MINIMUM:
            wrong.append(f"{said} is not built for macOS {MINIMUM}: {build.groups() if build else 'no LC_BUILD_VERSION'}")
        if "cmd LC_CODE_SIGNATURE" not in headers:
            wrong.append(f"{said} is not signed; Apple silicon does not run it")
        libraries = re.findall(r"cmd LC_LOAD_(?:WEAK_)?DYLIB\n\s*cmdsize \d+\n\s*name (\S+)", headers)
        for library in sorted(set(libraries) - set(allowed)):
            wrong.append(f"{said} links {library}, which is not listed")
        # Two-level names: what is imported from where.
        imports = re.findall(r"\(undefined(?: \[\S+ \S+\])?\)? (?:weak )?external (\S+) \(from (\S+)\)",
                             output(tool("llvm-nm"), "-m", "-u", f"--arch={architecture}", binary))
        if not imports:
            wrong.append(f"{said} imports nothing: this check does not understand it")
        short = {os.path.basename(name).removesuffix(".dylib").split(".")[0]: name for name in allowed}
        for symbol, library in imports:
            if architecture not in allowed.get(short.get(library, ""), {}).get(symbol, ()):
                wrong.append(f"{said} imports {symbol} from {library}, which is not listed")
        if not wrong:
            print(f"{said}: macOS {MINIMUM}, signed, {len(imports)} symbols from {len(libraries)} libraries, all listed")
    return wrong


def verify(sdk):
    """Which listed symbols an SDK has not. Exported from a library of the same name or one it re-exports."""
    wrong = []
    for library in names():
        exported = set()
        if library in LIBRARIES:
            # What libSystem re-exports lies in usr/lib/system.
            places = [f"usr/lib/{LIBRARIES[library]}.tbd", f"usr/lib/{library}.tbd"]
            if library == "libSystem" and os.path.isdir(os.path.join(sdk, "usr/lib/system")):
                places += [f"usr/lib/system/{name}" for name in os.listdir(os.path.join(sdk, "usr/lib/system"))]
        else:
            places = [f"System/Library/Frameworks/{library}.framework/{library}.tbd"]
        there = [os.path.join(sdk, place) for place in places if os.path.isfile(os.path.join(sdk, place))]
        if not there:
            print(f"{sdk} has no {library}: not verified")
            continue
        for place in there:
            with open(place) as text:
                body = text.read()
            exported |= set(re.findall(r"[A-Za-z0-9_$.]+", body))
            # Text stubs list classes without their prefix.
            for classes in re.findall(r"objc-classes:\s*\[(.*?)\]", body, re.S):
                exported |= {f"_OBJC_CLASS_$_{name}" for name in re.findall(r"[A-Za-z0-9_]+", classes)}
        missing = [symbol for symbol, _ in listed(library) if symbol not in exported]
        wrong += [f"{library} of {sdk} has no {symbol}" for symbol in missing]
        print(f"{library}: {len(listed(library)) - len(missing)} of {len(listed(library))} symbols are in {sdk}")
    return wrong


def main():
    words = sys.argv[1:]
    if len(words) == 2 and words[0] == "make":
        return make(words[1])
    if len(words) == 2 and words[0] == "explain":
        return explain(words[1])
    if len(words) == 2 and words[0] == "verify":
        wrong = verify(words[1])
    elif len(words) > 1 and words[0] == "check":
        wrong = [sentence for binary in words[1:] for sentence in check(binary)]
    else:
        sys.exit(__doc__.strip())
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
