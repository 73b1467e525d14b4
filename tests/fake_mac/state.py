"""What the tools remember from one call to the next, in files: a test reads and writes them as well.

    calls           what was called and when, a line each
    unknown         that of it which is not played here
    habits/NAME     a bad habit that is on: for as many times as it says, or for ever where it is empty or other text
    sysctl/NAME     the kernel's variables
    guest           HOST:PORT of the kernel (guest.py); without it nothing has an effect
"""
import fcntl, os, shlex, time


class Unknown(Exception):
    """What a tool was told is not played here."""


class State:
    def __init__(self, directory):
        self.directory = directory

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def read(self, *names):
        """The text of a file; None where there is none."""
        try:
            with open(self.path(*names)) as file:
                return file.read().strip()
        except FileNotFoundError:
            return None

    def write(self, text, *names):
        """Replaces a file as a whole: another call may be reading it."""
        path = self.path(*names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.{os.getpid()}", "w") as file:
            file.write(text)
        os.rename(file.name, path)

    def note(self, name, *words):
        self.append(name, shlex.join(words))

    def note_call(self, *words):
        now = time.time()
        clock = time.strftime("%H:%M:%S", time.gmtime(now))
        self.append("calls", f"{clock}.{int(now * 1000) % 1000:03} {shlex.join(words)}")

    def append(self, name, line):
        """Adds a line to a file; calls at the same time do not mix."""
        descriptor = os.open(self.path(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)

    def habit(self, name):
        """The text of a habit that is on, which may be empty; None where it is off."""
        return self.read("habits", name)

    def spend(self, name):
        """Whether a habit is on this time: one whose text is a number wears off."""
        try:
            with open(self.path("habits", name), "r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                text = file.read().strip()
                if not text.isdigit():
                    return True
                left = int(text)
                if left > 0:
                    file.seek(0)
                    file.truncate()
                    file.write(str(left - 1))
                return left > 0
        except FileNotFoundError:
            return False
