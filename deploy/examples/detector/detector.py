#!/usr/bin/env python3
"""A detector for Portcullis, as small as one can be: an example of the contract, not of how to find attacks.

    DETECTOR_API_KEY=... python3 detector.py [PORT]

Answers POST with a score per text. Replace `judge` by what you have: a model of your own, or a call to another service.
Needs Python 3.9 or later and nothing else.
"""

import hmac
import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_BODY = 16 << 20

# Phrases and how sure each of them makes us.
SIGNS = [
    (re.compile(r"(?:ignore|forget|disregard)\b.{0,40}\b(?:instructions?|rules|above)", re.I | re.S), 0.95, "override"),
    (re.compile(r"(?:reveal|print|repeat)\b.{0,40}\b(?:system prompt|instructions?)", re.I | re.S), 0.9, "extraction"),
    (re.compile(r"\byou (?:have no|are free of) (?:limits|restrictions|rules)\b", re.I), 0.7, "jailbreak"),
]


def judge(role: str, text: str) -> dict:
    """The probability that `text`, said to be by `role`, is an attack; where, in bytes; and a word for it."""
    worst = {"score": 0.01}
    for sign, score, label in SIGNS:
        found = sign.search(text)
        if found and score > worst["score"]:
            # Offsets count bytes of UTF-8, not characters.
            start = len(text[: found.start()].encode())
            end = start + len(found.group().encode())
            worst = {"score": score, "label": label, "start": start, "end": end}
    return worst


class Detector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key = os.environ.get("DETECTOR_API_KEY", "")

    def do_POST(self):
        length = int(self.headers.get("content-length", "0"))
        if length > MAX_BODY:
            self.close_connection = True
            return self.answer(413, {"error": "too long"})
        body = self.rfile.read(length)
        given = self.headers.get("authorization", "")
        if self.key and not hmac.compare_digest(given.encode(), f"Bearer {self.key}".encode()):
            return self.answer(401, {"error": "who are you?"})
        try:
            request = json.loads(body)
            if request["version"] != 1:
                raise ValueError("only version 1 of the contract is spoken here")
            results = [{"index": one["index"], **judge(one["role"], one["text"])} for one in request["texts"]]
        except (KeyError, TypeError, ValueError) as error:
            return self.answer(400, {"error": repr(error)})
        return self.answer(200, {"results": results})

    def do_GET(self):
        self.answer(200, {"ready": True})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Says nothing: a log of requests is a log of who was asked about what."""


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8090
    server = ThreadingHTTPServer(("127.0.0.1", port), Detector)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
