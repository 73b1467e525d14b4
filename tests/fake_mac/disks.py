"""Disks that are made of files, and the process that serves each: when it dies, the disk is gone.

    DIR/disks/disk4     {"file", "block_size", "read_only", "token", "helper": its process, …}
"""
import json, os, secrets, signal

# A number that is free on a Mac with an internal disk.
FIRST = 4

# Content hints of partition tables and containers, as IOKit has them.
SCHEME = "GUID_partition_scheme"
CONTAINER = "EF57347C-0000-11AA-AA11-00306543ECAC"


class Busy(Exception):
    """Somebody uses the disk: processes, as pairs of number and name."""

    def __init__(self, users):
        super().__init__(users)
        self.users = users


class NoFile(Exception):
    """There is no such file."""


class NothingToMount(Exception):
    """Nothing on the disk can be mounted."""


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Disks:
    def __init__(self, mac):
        self.mac = mac
        self.directory = mac.state.path("disks")

    def records(self):
        """What is attached: the records by name, in order."""
        found = {}
        for name in os.listdir(self.directory) if os.path.isdir(self.directory) else []:
            text = self.mac.state.read("disks", name)
            record = json.loads(text) if name.startswith("disk") and "." not in name and text else None
            # A process that has died has taken its disk with it.
            if record and (record["helper"] is None or alive(record["helper"])):
                found[name] = record
        return dict(sorted(found.items(), key=lambda item: int(item[0][4:])))

    def named(self, device):
        """The disk of a device's name, with or without /dev/; None where there is none."""
        name = device.removeprefix("/dev/")
        return name if name in self.records() else None

    def of_file(self, file):
        return next((name for name, record in self.records().items() if record["file"] == file), None)

    def attach(self, file, block_size, read_only, mount):
        """Makes a disk of a file; its name."""
        name = self._allot()
        try:
            record = {"file": file, "block_size": block_size, "read_only": read_only, "helper": None}
            record["token"] = secrets.token_hex(8)
            way = "ro" if read_only else "rw"
            code, said = self.mac.kernel.ask("attach", name, record["token"], file, str(block_size), way)
            if code == 2:
                raise NoFile()
            if code != 0:
                raise OSError(said)
            if mount and self.mac.kernel.ask("mount_disk", name)[0] == 3:
                self.mac.kernel.ask("detach", name)
                raise NothingToMount()
            record["helper"] = self._serve(name, record["token"])
            self.mac.state.write(json.dumps(record), "disks", name)
            return name
        except BaseException:
            os.unlink(os.path.join(self.directory, name))
            raise

    def unmount(self, name, force=False):
        words = ["unmount_disk", name] + (["force"] if force else [])
        self._demand(*words)

    def mount(self, name):
        return self.mac.kernel.ask("mount_disk", name)[0] in (0, 3)

    def detach(self, name):
        """Takes a disk away of which nothing is mounted."""
        helper = self.records()[name]["helper"]
        self._demand("detach", name)
        os.unlink(os.path.join(self.directory, name))
        if alive(helper):
            os.kill(helper, signal.SIGTERM)

    def entities(self, name):
        """What the system made of a disk, as hdiutil tells it."""
        lines = self.mac.kernel.ask("entities", name)[1].splitlines()
        nodes = [line.split("\t") for line in lines]
        entities = []
        for node, _, point in nodes:
            entity = {"dev-entry": f"/dev/{node}", "potentially-mountable": bool(point)}
            if node == name and len(nodes) > 1:
                entity["content-hint"] = SCHEME
            if point:
                entity.update({"mount-point": point, "volume-kind": "ext4"})
            entities.append(entity)
        container = self.mac.state.habit("container")
        if container:
            # Of a volume in a container the system makes a disk of its own, with a number that was free.
            entities.insert(0, {"dev-entry": f"/dev/{container}", "content-hint": CONTAINER})
            entities.append({"dev-entry": f"/dev/{container}s1", "potentially-mountable": True})
        return entities

    def shape(self, node):
        """Bytes per block and bytes of a disk or partition; None where there is none."""
        code, said = self.mac.kernel.ask("shape", node)
        return tuple(map(int, said.split())) if code == 0 else None

    def _allot(self):
        os.makedirs(self.directory, exist_ok=True)
        number = int(self.mac.state.habit("first-disk") or FIRST)
        while True:
            name = f"disk{number}"
            path = os.path.join(self.directory, name)
            record = self.mac.state.read("disks", name)
            helper = json.loads(record)["helper"] if record else None
            if helper is not None and not alive(helper):
                os.unlink(path)
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                return name
            except FileExistsError:
                number += 1

    def _serve(self, name, token):
        """Leaves a process behind, in the process group of whoever called, as diskimages-helper is."""
        ready, told = os.pipe()
        between = os.fork()
        if between == 0:
            if os.fork() != 0:
                os._exit(0)
            connection = self.mac.kernel.keep(name, token)
            os.write(told, str(os.getpid()).encode())
            os.close(told)
            os.close(ready)
            keeps = [0] if self.mac.state.habit("helper-keeps-pipes") is not None else [0, 1, 2]
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in keeps:
                os.dup2(nothing, descriptor)
            connection.read()
            os._exit(0)
        os.close(told)
        os.waitpid(between, 0)
        with os.fdopen(ready) as told:
            helper = int(told.read())
        self.mac.state.note("helpers", str(helper))
        return helper

    def _demand(self, *words):
        code, said = self.mac.kernel.ask(*words)
        if code == 16:
            lines = [line.split("\t") for line in said.splitlines() if "\t" in line]
            raise Busy([(int(line[0]), line[1]) for line in lines])
        if code != 0:
            raise OSError(f"{' '.join(words)}: {said}")
