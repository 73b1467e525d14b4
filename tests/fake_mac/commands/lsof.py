"""lsof: who has something open, as fields."""
from state import Unknown


def run(mac, words):
    if words[:3] != ["-F", "pcn", "--"] or len(words) < 4:
        raise Unknown("-F pcn -- PATH …")
    places = [place for word in words[3:] for place in at(mac, word)]
    said = mac.kernel.ask("open_files", *places)[1] if places else ""
    last = None
    for line in sorted(said.splitlines(), key=lambda line: int(line.split("\t")[0])):
        process, name, file = line.split("\t")
        if process != last:
            print(f"p{process}\nc{name}")
        last = process
        print(f"f3\nn{file}")
    # It ends with 1 where nothing is open.
    return 0 if last else 1


def at(mac, path):
    """Where the kernel has what goes by that name here: /dev/rdisk4 is the same disk without a cache."""
    if not path.startswith(("/dev/disk", "/dev/rdisk")):
        return [path]
    lines = mac.kernel.ask("nodes", path.replace("/dev/rdisk", "/dev/disk").removeprefix("/dev/"))[1].splitlines()
    return [node for name, node in (line.split("\t") for line in lines) if path.endswith(name)]
