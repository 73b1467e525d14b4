"""The Mac that a tool runs on: its state, its kernel, its disks, its language."""
import time

from disks import Disks
from guest import Guest

# By the language that a process has from its bundle: LC_ALL changes nothing.
WORDS = {
    "it": {
        "attach failed": "attach non riuscito",
        "no mountable file systems": "nessun file system attivabile",
        "Resource busy": "Risorsa occupata",
        "at least one volume could not be unmounted": "non è stato possibile smontare almeno un volume",
        "Unmount was dissented by PID": "Smontaggio rifiutato dal PID",
        "Unmount of": "Smontaggio di",
        "failed": "non riuscito",
        "couldn't eject": "impossibile espellere",
        "ejected": "espulso",
    }
}


class Mac:
    def __init__(self, state):
        self.state = state
        self.kernel = Guest(state.read("guest"))
        self.disks = Disks(self)

    def say(self, sentence):
        """A sentence in the language of this Mac."""
        for ours, theirs in WORDS.get(self.state.habit("language"), {}).items():
            sentence = sentence.replace(ours, theirs)
        return sentence

    def take_time(self, habit):
        """A command that is slow by habit takes so many seconds."""
        seconds = self.state.habit(habit)
        if seconds is not None:
            time.sleep(float(seconds))
