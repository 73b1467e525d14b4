"""The kernel that the tools' effects are in: a guest that takes a word of tests/targets/mac/mac.sh on each connection.

One that waits, such as an unmount of what does not answer, keeps no other from its work, and goes on when the tool that
asked for it is killed: so it is with what diskarbitrationd has begun.
"""
import shlex, socket


class Guest:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.address = (host, int(port))

    def ask(self, *words):
        """The exit code of a word, and what it printed."""
        answer = self._begin(*words)
        code, length = answer.readline().split()
        return int(code), answer.read(int(length)).decode(errors="replace")

    def keep(self, disk, token):
        """The connection on which that disk hangs, for as long as it is open."""
        answer = self._begin("keep", disk, token)
        if answer.readline() != b"kept\n":
            raise OSError(f"the guest does not keep {disk}")
        return answer

    def _begin(self, *words):
        connection = socket.create_connection(self.address)
        connection.sendall((shlex.join(words) + "\n").encode())
        return connection.makefile("rb")
