"""Drives the FAL simulator with the unmodified official client for Python.

Needs FAL_SIMULATOR (base URL), ARCHIVE (a zip of at least ten photos), BODIES (our requests for pictures), fal-client
and PyNaCl. The client is pointed at the simulator by the constants of its module, which is the only way that it leaves open for plain http.
"""

import asyncio
import base64
import hashlib
import http.server
import json
import os
import queue
import tempfile
import threading
import time
import urllib.request

BASE = os.environ["FAL_SIMULATOR"].rstrip("/")
ARCHIVE = os.environ["ARCHIVE"]
KEY = "python-check:secret"
os.environ["FAL_KEY"] = KEY

import fal_client  # noqa: E402  (reads its environment when it is imported)
import fal_client.client as wire  # noqa: E402
from nacl.exceptions import BadSignatureError  # noqa: E402
from nacl.signing import VerifyKey  # noqa: E402

wire.QUEUE_URL_FORMAT = f"{BASE}/queue/"
wire.RUN_URL_FORMAT = f"{BASE}/run/"
wire.REST_URL = f"{BASE}/rest"
wire.CDN_URL = f"{BASE}/cdn"

PORTRAIT = "fal-ai/flux-lora-portrait-trainer"
STYLE = "fal-ai/flux-pro-trainer"
FAST = "fal-ai/flux-lora-fast-training"
PICTURE = "fal-ai/flux-lora"
FINETUNED = "fal-ai/flux-pro/v1.1-ultra-finetuned"
GENERATORS = [
    PICTURE,
    FINETUNED,
    "fal-ai/flux-2/lora",
    "fal-ai/z-image/turbo/lora",
    "fal-ai/qwen-image-2512/lora",
    "fal-ai/krea-2/turbo/lora",
]
BODIES = os.environ["BODIES"]

with open(ARCHIVE, "rb") as file:
    PHOTOS = file.read()


def sim(path, body=None):
    """The simulator's own control API."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{BASE}/__sim/{path}", data)) as answer:
        return json.load(answer)


def last_seq():
    entries = sim("ledger")["entries"]
    return entries[-1]["seq"] if entries else 0


def events_since(since, event, count=0):
    return sim(f"ledger?since={since}&event={event}&count={count}")["entries"]


def download(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def portrait_input(url):
    return {"images_data_url": url, "trigger_phrase": "TOK_1234abcd", "steps": 1000, "learning_rate": 2e-4}


def http_error(call):
    try:
        call()
    except fal_client.FalClientHTTPError as error:
        return error
    raise AssertionError("no error was raised")


class Receiver:
    """A webhook receiver that keeps what it gets."""

    def __init__(self, answers=()):
        deliveries = self.deliveries = queue.Queue()
        answers = list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                deliveries.put((self.path, dict(self.headers.items()), body))
                self.send_response(answers.pop(0) if answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?training_type=portrait&token=a%2Fb"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.deliveries.get(timeout=20)


def verifies(headers, body):
    """FAL's documented verification, as its Python sample does it: the key set's `x` is decoded as it is served."""
    headers = {name.lower(): value for name, value in headers.items()}
    parts = [headers.get(f"x-fal-webhook-{name}") for name in ("request-id", "user-id", "timestamp")]
    if any(part is None for part in parts) or abs(time.time() - int(parts[2])) > 300:
        return False
    message = "\n".join([*parts, hashlib.sha256(body).hexdigest()]).encode()
    signature = bytes.fromhex(headers["x-fal-webhook-signature"])
    for key in json.loads(download(f"{BASE}/rest/.well-known/jwks.json"))["keys"]:
        try:
            VerifyKey(base64.urlsafe_b64decode(key["x"])).verify(message, signature)
            return True
        except BadSignatureError:
            continue
    return False


def check_a_portrait_training_from_upload_to_weights():
    url = fal_client.upload_file(ARCHIVE)
    assert url.endswith("/photos.zip"), url
    handle = fal_client.submit(PORTRAIT, portrait_input(url))
    seen, lines = [], []
    for status in handle.iter_events(with_logs=True, interval=0.02):
        seen.append(type(status).__name__)
        if isinstance(status, fal_client.Queued):
            assert status.position == 0
        else:
            lines = [line["message"] for line in status.logs]
    assert seen[0] == "Queued" and "InProgress" in seen and seen[-1] == "Completed", seen
    assert "step 500/1000" in lines and lines[-1] == "step 1000/1000", lines
    assert status.metrics["inference_time"] > 0 and status.error is None
    result = handle.get()
    weights = download(result["diffusers_lora_file"]["url"])
    assert len(weights) == result["diffusers_lora_file"]["file_size"]
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    assert any(name.endswith("lora_A.weight") for name in header), header
    assert json.loads(download(result["config_file"]["url"]))["trigger_phrase"] == "TOK_1234abcd"
    assert fal_client.result(PORTRAIT, handle.request_id) == result


def check_a_style_training_by_each_trainer():
    url = fal_client.upload(PHOTOS, "application/zip", "photos.zip")
    style = {"data_url": url, "finetune_comment": "ours", "iterations": 300, "priority": "speed", "mode": "style"}
    assert len(fal_client.subscribe(STYLE, style)["finetune_id"]) == 36
    fast = fal_client.subscribe(FAST, {"images_data_url": url, "is_style": True, "steps": 500})
    assert fast["diffusers_lora_file"]["file_name"] == "pytorch_lora_weights.safetensors"


def check_subscribe_reports_progress_and_pictures_are_real():
    trained = fal_client.subscribe(PORTRAIT, portrait_input(fal_client.upload_file(ARCHIVE)))
    updates, ids = [], []
    result = fal_client.subscribe(
        PICTURE,
        {"prompt": "TOK_1234abcd at sea", "loras": [{"path": trained["diffusers_lora_file"]["url"]}], "num_images": 2},
        with_logs=True,
        on_enqueue=ids.append,
        on_queue_update=updates.append,
    )
    assert len(ids) == 1 and isinstance(updates[-1], fal_client.Completed)
    assert len(result["images"]) == 2 and result["has_nsfw_concepts"] == [False, False]
    assert download(result["images"][0]["url"]).startswith(b"\xff\xd8\xff")


def check_our_request_bodies_make_pictures_on_every_endpoint():
    """The bodies are the ones that the bot sends; a test compares them with the table of generators."""
    trained = fal_client.subscribe(PORTRAIT, portrait_input(fal_client.upload_file(ARCHIVE)))
    for name in GENERATORS:
        with open(f"{BODIES}/{name.replace('/', '.')}.json") as file:
            body = json.load(file)
        if "loras" in body:
            body["loras"][0]["path"] = trained["diffusers_lora_file"]["url"]
        result = fal_client.subscribe(name, body)
        assert len(result["images"]) == body["num_images"] == len(result["has_nsfw_concepts"]), name
        assert result["seed"] == body["seed"], name
        assert download(result["images"][-1]["url"]).startswith(b"\xff\xd8\xff"), name


def check_nested_endpoint_ids():
    handle = fal_client.submit(FINETUNED, {"prompt": "p", "finetune_id": "f", "finetune_strength": 1.0})
    assert "/fal-ai/flux-pro/requests/" in handle.status_url, handle.status_url
    assert handle.get()["images"][0]["content_type"] == "image/jpeg"
    again = fal_client.SyncClient().get_handle(FINETUNED, handle.request_id)
    assert isinstance(again.status(), fal_client.Completed)


def check_the_synchronous_api():
    result = fal_client.run(PICTURE, {"prompt": "p", "image_size": "square", "output_format": "png"})
    image = result["images"][0]
    assert (image["width"], image["height"]) == (512, 512)
    assert download(image["url"]).startswith(b"\x89PNG")


def check_uploads_by_every_way():
    for repository in ("fal_v3", "fal"):
        since = last_seq()
        url = fal_client.upload(PHOTOS, "application/zip", "photos.zip", repository=repository, fallback_repository=[])
        assert download(url) == PHOTOS
        (entry,) = events_since(since, "uploaded", 1)
        assert entry["parts"] == 1 and entry["sha256"] == hashlib.sha256(PHOTOS).hexdigest()


def check_an_upload_above_100_mib_goes_in_parts():
    since = last_seq()
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.truncate(101 * 1024 * 1024 + 7)
        url = fal_client.upload_file(file.name)
    (entry,) = events_since(since, "uploaded", 1)
    assert (entry["file_url"], entry["parts"], entry["bytes"]) == (url, 11, 101 * 1024 * 1024 + 7), entry


def check_a_lifecycle_ends():
    since = last_seq()
    week = fal_client.StorageSettings(expires_in="7d")
    url = fal_client.upload(b"photos", "application/zip", "photos.zip", lifecycle=week)
    assert download(url) == b"photos"
    assert sim("files/expire", {"contains": url.split("/")[-2]}) == {"expired": 1}
    try:
        download(url)
    except urllib.error.HTTPError as error:
        assert error.code == 404
    assert events_since(since, "uploaded", 1)


def check_model_errors_show_in_the_result():
    handle = fal_client.submit(PORTRAIT, {"images_data_url": f"{BASE}/cdn/files/none.zip", "iterations": 5, "steps": 0})
    error = http_error(handle.get)
    assert error.status_code == 422
    found = {item["loc"][1]: item["type"] for item in error.message}
    assert found == {"iterations": "extra_forbidden", "steps": "greater_than_equal"}, found

    handle = fal_client.submit(PORTRAIT, {"images_data_url": f"{BASE}/cdn/files/none.zip"})
    error = http_error(handle.get)
    assert error.status_code == 422 and error.message[0]["type"] == "file_download_error"


def check_infrastructure_errors_have_a_type():
    body = {"detail": "Runner disconnected", "error_type": "runner_disconnected"}
    sim("faults", {"on": "execution", "endpoint": PICTURE, "effect": {"fail": {"status": 503, "body": body}}})
    handle = fal_client.submit(PICTURE, {"prompt": "p"})
    *_, status = handle.iter_events(interval=0.02)
    assert (status.error, status.error_type) == ("Runner disconnected", "runner_disconnected")
    error = http_error(lambda: fal_client.result(PICTURE, handle.request_id))
    assert (error.status_code, error.error_type) == (503, "runner_disconnected")


def check_refusals_of_the_platform():
    assert http_error(lambda: fal_client.submit("fal-ai/no-such-model", {})).status_code == 404
    assert http_error(lambda: fal_client.SyncClient(key="no-colon").submit(PICTURE, {})).status_code == 401
    unknown = fal_client.SyncClient().get_handle(PICTURE, "00000000-0000-4000-8000-000000000000")
    assert http_error(unknown.status).status_code == 404


def check_cancel_in_the_queue_while_running_and_too_late():
    def outcome(handle):
        return http_error(lambda: fal_client.result(PICTURE, handle.request_id)).error_type

    sim("faults", {"on": "execution", "endpoint": PICTURE, "effect": {"stuck_in_queue": {}}})
    since, total = last_seq(), sim("held")["total"]
    queued = fal_client.submit(PICTURE, {"prompt": "p"})
    sim(f"held?count={total + 1}")
    queued.cancel()
    assert outcome(queued) == "client_cancelled"

    sim("faults", {"on": "execution", "endpoint": PICTURE, "effect": {"stuck_in_progress": {}}})
    running = fal_client.submit(PICTURE, {"prompt": "p"})
    sim(f"held?count={total + 2}")
    assert isinstance(running.status(), fal_client.InProgress)
    running.cancel()
    events_since(since, "run_ended", 2)
    assert outcome(running) == "client_cancelled"
    assert http_error(running.cancel).status_code == 400
    answers = [entry["http_status"] for entry in events_since(since, "cancelled")]
    assert answers == [200, 202, 400], answers


def check_a_lost_answer_makes_the_client_submit_twice():
    """Not our wish, but how the official client is: why our own never repeats a submit blindly."""
    sim("faults", {"on": "submit", "endpoint": PICTURE, "effect": {"close": {}}})
    since = last_seq()
    handle = fal_client.submit(PICTURE, {"prompt": "p"})
    submitted = [entry["request_id"] for entry in events_since(since, "submitted")]
    assert len(submitted) == 2 and submitted[1] == handle.request_id, submitted


def check_webhooks_arrive_signed():
    receiver = Receiver()
    handle = fal_client.submit(PICTURE, {"prompt": "п"}, webhook_url=receiver.url)
    path, headers, body = receiver.next()
    assert path == "/hook?training_type=portrait&token=a%2Fb", path
    assert verifies(headers, body) and not verifies(headers, body + b" ")
    payload = json.loads(body)
    assert payload["request_id"] == handle.request_id != payload["gateway_request_id"]
    assert payload["status"] == "OK" and payload["payload"] == handle.get()

    handle = fal_client.submit(PICTURE, {}, webhook_url=receiver.url)
    _, headers, body = receiver.next()
    payload = json.loads(body)
    assert verifies(headers, body) and payload["status"] == "ERROR"
    assert payload["payload"]["detail"][0]["type"] == "missing"


def check_webhooks_are_repeated_until_acknowledged():
    receiver = Receiver(answers=[500, 401])
    since = last_seq()
    fal_client.submit(PICTURE, {"prompt": "p"}, webhook_url=receiver.url)
    bodies = set()
    for _ in range(3):
        _, headers, body = receiver.next()
        assert verifies(headers, body)
        bodies.add(body)
    assert len(bodies) == 1
    attempts = events_since(since, "webhook_attempted", 3)
    assert [entry["http_status"] for entry in attempts] == [500, 401, 200]


def check_webhooks_survive_a_rotation_of_keys():
    sim("keys/rotate", {"keep_old": True})
    receiver = Receiver()
    fal_client.submit(PICTURE, {"prompt": "p"}, webhook_url=receiver.url)
    _, headers, body = receiver.next()
    assert verifies(headers, body)
    sim("keys/rotate", {})
    assert not verifies(headers, body)


def check_the_asynchronous_client():
    async def train():
        url = await fal_client.upload_async(PHOTOS, "application/zip", "photos.zip")
        handle = await fal_client.submit_async(PORTRAIT, portrait_input(url))
        words = [type(status).__name__ async for status in handle.iter_events(with_logs=True, interval=0.02)]
        assert words[-1] == "Completed"
        return await handle.get()

    assert "diffusers_lora_file" in asyncio.run(train())


CHECKS = [(name, check) for name, check in list(globals().items()) if name.startswith("check_")]
for name, check in CHECKS:
    print(name, flush=True)
    check()
print(f"{len(CHECKS)} checks with fal-client {fal_client.__version__}")
