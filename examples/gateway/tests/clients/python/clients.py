"""python clients.py GATEWAY PROVIDER: the official client of OpenAI, through the gateway."""

import json
import sys
import time
import urllib.request

import openai

gateway, provider = sys.argv[1:]
client = openai.OpenAI(api_key="none", base_url=f"{gateway}/v1", max_retries=0)


def text(count):
    return "".join(f"token {n}, naïvely 🎉 " for n in range(count))


def ask(script):
    return client.chat.completions.create(
        model=f"made-up,{script}", messages=[{"role": "user", "content": "hello"}], stream=True
    )


def read(stream):
    """The text, and what reading failed with."""
    seen = ""
    try:
        for chunk in stream:
            seen += chunk.choices[0].delta.content or ""
    except Exception as error:
        return seen, error
    return seen, None


def state():
    with urllib.request.urlopen(provider) as answer:
        return json.load(answer)


def until(what, holds):
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < 30, f"not within 30 s: {what}"
        time.sleep(0.005)
    return time.monotonic() - start


assert read(ask("tokens=30,pace=2,ping=3")) == (text(30), None)
assert read(ask("tokens=2,think=1800")) == (text(2), None)

try:
    ask("status=429")
    raise AssertionError("not refused")
except openai.RateLimitError as error:
    assert error.response.headers["retry-after"] == "7"
    assert "overloaded, as requested" in str(error), error

seen, error = read(ask("error=3,pace=1"))
assert seen == text(3) and "broken, as requested" in str(error), (seen, error)

seen, error = read(ask("cut=3,pace=1"))
assert seen == text(3) and error is not None, "a reply that was cut looks complete"
print(f"openai for Python sees a cut as: {type(error).__name__}: {error}")

for script in ["tokens=100000,pace=10", "tokens=2,pace=60000"]:
    cancelled = state()["cancelled"]
    stream = ask(script)
    while not (next(stream).choices[0].delta.content or ""):
        pass
    stream.close()
    took = until("the provider sees the cancellation", lambda: state()["cancelled"] > cancelled)
    print(f"openai for Python cancels {script}: the provider knows after {took * 1000:.0f} ms")
    until("no stream is left", lambda: state()["open"] == 0)
print("done")
