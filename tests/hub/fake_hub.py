"""A hub in small, for pull_test.cpp: what a model does is in its name.

usage: fake_hub.py        (prints the ports of the hub and of its store, one a line; serves until it is killed)
"""
import hashlib
import http.server
import json
import sys
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(i * i % 251 for i in range(300_000))
FILES = {"config.json": b'{"model_type": "llama"}', "model.safetensors": WEIGHTS, "onnx/model.onnx": b"not wanted",
         "pytorch_model.bin": b"not wanted", "README.md": "é".encode()}
GGUF = {"a-Q8_0.gguf": WEIGHTS, "b-Q4_0.gguf": b"GGUF"}
seen, cut, ports = [], set(), {}


def files_of(model):
    return GGUF if model.endswith("/gguf") else FILES


def entry(model, path, data):
    large = path.endswith((".safetensors", ".gguf"))
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    out = {"rfilename": path, "size": len(data), "blobId": git}
    if large:
        out["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return out


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", headers={}, send=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if send is None else body[:send])
        self.close_connection = send is not None

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/_seen":
            return self.answer(200, json.dumps(seen).encode())
        seen.append([self.server.server_port == ports["store"], path, self.headers.get("Authorization"), self.headers.get("Range")])
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.list("/".join(parts[2:4]), parts[-1])
        self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def list(self, model, revision):
        if model.endswith("/gated"):
            return self.answer(401, b'{"error": "gated"}', {"WWW-Authenticate": "Bearer"})
        if model.endswith("/none") or revision not in ("main", "v1.0", COMMIT):
            return self.answer(404, b"no")
        siblings = [entry(model, path, data) for path, data in files_of(model).items()]
        if model.endswith("/evil"):
            siblings[0]["rfilename"] = "../../evil.json"
        body = json.dumps({"sha": COMMIT, "siblings": siblings}).encode()
        self.answer(200, body[:100] if model.endswith("/broken") else body)

    def file(self, model, commit, path):
        data = files_of(model).get(path)
        if commit != COMMIT or data is None:
            return self.answer(404)
        if model.endswith("/moved") and not self.server.server_port == ports["store"]:
            return self.answer(302, b"", {"Location": f"http://127.0.0.1:{ports['store']}{self.path}"})
        if model.endswith("/circle"):
            return self.answer(302, b"", {"Location": self.path})
        if model.endswith("/wrong") and len(data) > 1000:
            data = data[:1000] + b"!" + data[1001:]
        if model.endswith("/longer"):
            data = data + b"more"
        begin = self.headers.get("Range")
        begin = int(begin.removeprefix("bytes=").removesuffix("-")) if begin and not model.endswith("/whole") else 0
        headers, status = {}, 200
        if begin:
            headers, status = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}, 206
        breaks = model.endswith(("/cut", "/whole")) and (model, path) not in cut or model.endswith("/always")
        cut.add((model, path))
        self.answer(status, data[begin:], headers, (len(data) - begin) // 2 if breaks else None)


servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) for _ in range(2)]
ports["hub"], ports["store"] = (server.server_port for server in servers)
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(ports["hub"], ports["store"], sep="\n", flush=True)
sys.stdin.read()
