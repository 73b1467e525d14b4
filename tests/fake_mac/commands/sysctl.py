"""sysctl: variables of the kernel."""
import sys

from state import Unknown

AT_START = {"kern.willshutdown": "0", "vfs.generic.nfs.client.initialdowndelay": "5"}


def run(mac, words):
    match words:
        case ["-n", name] if name in AT_START:
            print(mac.state.read("sysctl", name) or AT_START[name])
            return 0
        case ["-w", assignment] if assignment.partition("=")[0] in AT_START:
            name, _, value = assignment.partition("=")
            print(f"{name}: {mac.state.read('sysctl', name) or AT_START[name]} -> {value}")
            mac.state.write(value, "sysctl", name)
            return 0
    raise Unknown("no such variable")
