"""The whole system in processes of its own: Postgres, a bucket, FAL and Telegram simulated, web, workers and bots."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).resolve().parents[2]
# Well-formed, and of nobody.
KEYS = {"FAL_KEY": "simulated:key", "TELEGRAM_BOT_TOKEN": "4242:simulated-token-of-nobody"}


class Process:
    """An aisha, its log in a file; ended by the end of its standard input, or by SIGTERM."""

    def __init__(self, command, environment, log):
        self.log = Path(log)
        self.held = command[1] == "internal"
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT
            )

    def wait_for(self, pattern, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(pattern, self.said())
            if found:
                return found
            time.sleep(0.05)
        sys.exit(f"{pattern!r} was not said: {self.said()[-2000:]}")

    def said(self):
        return self.log.read_text(errors="replace")

    def end(self):
        if self.process.poll() is not None:
            return
        if self.held:
            self.process.stdin.close()
        else:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def forget_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_mb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) // 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class System:
    """`roles` maps a name such as "worker 2" to its process."""

    def __init__(self, binary, work, bots, workers):
        self.binary, self.work, self.started = binary, Path(work), []
        self.bots, self.workers = bots, workers

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        self.bare = {"PATH": os.environ["PATH"]}
        cluster = self.run("internal", "hold-cluster", "--durable", log="cluster")
        self.url = cluster.wait_for(r"postgres(?:ql)?://\S+").group(0)
        self.bucket = self.work / "bucket"
        bucket = self.run("internal", "hold-bucket", str(self.bucket), log="bucket")
        bucket.wait_for(r"S3_BUCKET_AVATARS=\S+\n")
        fal = self.run("fal-simulator", "--listen", "127.0.0.1:0", log="fal")
        fal_url = fal.wait_for(r"http://[\d.]+:\d+").group(0)
        telegram = self.run("telegram-simulator", "--listen", "127.0.0.1:0", log="telegram")
        telegram_url = telegram.wait_for(r"http://[\d.]+:\d+").group(0)
        self.people = Telegram(telegram_url)
        self.bare |= KEYS | dict(line.split("=", 1) for line in bucket.said().splitlines())
        self.bare |= {
            "DATABASE_URL": self.url,
            "AVATAR_TEST_MODE": "true",
            "AISHA__FAL__SIMULATOR_URL": fal_url,
            "TELEGRAM_API_URL": telegram_url,
            # The first pictures are the same work as those that are asked for below, in a crowd of their own.
            "AISHA__TRAINING__SAMPLES": "0",
        }
        migrated = self.run("migrate", log="migrate")
        if migrated.process.wait(120):
            sys.exit(migrated.said())
        web = self.run("web", "--listen", "127.0.0.1:0", log="web")
        port = web.wait_for(r"Web is listening on [\d.]+:(\d+)").group(1)
        self.bare["FAL_WEBHOOK_URL"] = f"http://127.0.0.1:{port}"
        self.roles = {"web": web}
        for role, count in [("worker", self.workers), ("bot", self.bots)]:
            for number in range(1, count + 1):
                self.roles[f"{role} {number}"] = self.run(role, log=f"{role}-{number}")
        for name, role in self.roles.items():
            if name != "web":
                role.wait_for(r"The bot is running|is claiming jobs")

    def run(self, *arguments, log):
        process = Process([self.binary, *arguments], dict(self.bare), self.work / f"{log}.log")
        self.started.append(process)
        return process

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.end()

    def rows(self, query):
        psql = shutil.which("psql") or str(max(Path("/usr/lib/postgresql").glob("*/bin/psql")))
        answer = subprocess.run([psql, "-qAtX", "-v", "ON_ERROR_STOP=1", self.url, "-c", query], check=True, stdout=subprocess.PIPE)
        return [line.split("|") for line in answer.stdout.decode().splitlines()]

    def number(self, query):
        return int(self.rows(query)[0][0])

    def objects(self):
        """The keys in the bucket; files whose name begins with a dot are the server's notes."""
        top = self.bucket / self.bare["S3_BUCKET_AVATARS"]
        return [str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and not path.name.startswith(".")]


class Telegram:
    """The simulator's control API. A connection for each thread."""

    def __init__(self, url):
        self.address = urlsplit(url).netloc
        self.local = threading.local()

    def call(self, method, path, body=None, kind="application/json", **query):
        if body is not None and kind == "application/json":
            body = json.dumps(body)
        if query:
            path += "?" + urlencode(query)
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = self.local.connection = http.client.HTTPConnection(self.address, timeout=700)
        connection.request(method, "/sim" + path, body, {"Content-Type": kind} if body is not None else {})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:300]!r}")
        return json.loads(said)

    def person(self, name):
        return self.call("POST", "/users", {"first_name": name, "language_code": "en"})["id"]

    def says(self, person, text):
        self.call("POST", f"/users/{person}/text", {"text": text})

    def photos(self, person, files):
        mark = "----------photo"
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="photo"; filename="{number}.jpg"\r\n'
            f"Content-Type: image/jpeg\r\n\r\n".encode() + data + b"\r\n"
            for number, data in enumerate(files)
        ]
        body = b"".join(parts) + f"--{mark}--\r\n".encode()
        self.call("POST", f"/users/{person}/photos", body, f"multipart/form-data; boundary={mark}")

    def hears(self, person, timeout=300, **filters):
        """Waits for a message of the bot; of several, the latest."""
        return self.call("GET", "/wait", chat_id=person, **{"from": "bot"}, timeout=timeout, **filters)["messages"][-1]

    def presses(self, person, prefix, suffix="", timeout=300):
        """The first button whose data begin and end so, on the latest message that has one that begins so."""
        message = self.hears(person, timeout, data=prefix)
        shown = [button.get("data") or "" for row in message["buttons"] for button in row]
        data = next(data for data in shown if data.startswith(prefix) and data.endswith(suffix))
        self.call("POST", f"/users/{person}/press", {"message_id": message["message_id"], "data": data})
        return message["message_id"]

    def chat(self, person):
        """The bot's messages that are still there."""
        messages = self.call("GET", f"/chats/{person}")["messages"]
        return [message for message in messages if message["from_bot"] and not message["deleted"]]

    def hold_updates(self):
        """From now on updates are kept back, as if nobody had sent them yet."""
        return self.call("POST", "/faults", {"method": "getUpdates", "times": None, "action": {"kind": "hold", "when": "before"}})["id"]

    def let_updates_go(self, hold):
        self.call("DELETE", f"/faults/{hold}")
        self.call("POST", "/held/release", {})

    def calls(self, **filters):
        return self.call("GET", "/ledger", **filters)
