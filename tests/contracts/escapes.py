"""A program that leaves processes behind in every way that one can get out of its task's session."""

from __future__ import annotations

from pathlib import Path

CHILD = """\
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
while True:
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(0.01)
"""
PROGRAM = """\
import os, subprocess, sys, time

folder, child = {folder!r}, {child!r}
forms = {{
    "session": lambda words: subprocess.Popen(words, start_new_session=True),
    "nohup": lambda words: subprocess.Popen(["nohup", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
    "shell": lambda words: subprocess.Popen(["sh", "-c", 'setsid "$@" & exit', "sh", *words]),
    "bare": lambda words: subprocess.Popen(words, start_new_session=True, env={{}}, cwd="/"),
}}

def daemon(words):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            os.closerange(0, 100)
            os.execve(words[0], words, {{}})
        os._exit(0)
    os.wait()

forms["daemon"] = daemon
for name, begin in forms.items():
    begin([sys.executable, "-c", child, os.path.join(folder, name)])
while not all(os.path.exists(os.path.join(folder, name)) for name in forms):
    time.sleep(0.01)
print("left", flush=True)
"""
FORMS = ("session", "nohup", "shell", "bare", "daemon")


def program(folder: Path) -> str:
    """Each of those that it leaves writes its pid to a file in `folder`, again and again."""
    return PROGRAM.format(folder=str(folder), child=CHILD)


def left(folder: Path) -> dict[str, int]:
    """Their pids, by how they got out."""
    return {name: int((folder / name).read_text()) for name in FORMS}


def forget(folder: Path) -> None:
    """What writes on is there again soon."""
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
