const $ = id => document.getElementById(id);
const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
const list = text => [...new Set(text.split(",").map(part => part.trim()).filter(Boolean))];
// ?topics=a,b&names=x,y of the page is what it follows.
const params = new URLSearchParams(location.search);
const names = new Set(["message", "begin", ...list(params.get("names") ?? "")]);
$("listen").topics.value = params.get("topics") ?? "";
$("listen").names.value = params.get("names") ?? "";

let source, last = "", connected = "connecting", hasRedis = true;
function tell() {
  const [state, text] = connected !== "open" ? ["connecting", connected]
    : hasRedis ? ["open", "connected"]
    : ["connecting", "connected, but Redis is away: nothing new until it is back"];
  $("state").dataset.state = state;
  // What is the same is not read aloud again.
  if ($("state").textContent !== text) $("state").textContent = text;
}
function show(id, name, text, kind) {
  const line = make("li", "");
  line.className = kind ?? "";
  line.append(make("span", id), make("b", name), make("p", text));
  $("events").prepend(line);
  while ($("events").children.length > 200) $("events").lastChild.remove();
}
const take = event => {
  last = event.lastEventId || last;
  show(last, event.type === "message" ? "" : event.type, event.data);
};
function connect() {
  source?.close();
  const query = new URLSearchParams({ topics: list($("listen").topics.value).join(","), lastEventId: last });
  source = new EventSource(`/events?${query}`);
  source.onopen = () => { connected = "open"; tell(); look(); };
  for (const name of names) source.addEventListener(name, take);
  source.addEventListener("gap", () => show("", "gap", "Events were missed: what is shown may lack some.", "gap"));
  source.onerror = () => {
    connected = "connection lost, reconnecting";
    tell();
    // A browser gives up at a 503: begin anew, after the last event.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  };
}
// The stream stays open without Redis, so it cannot tell.
async function look() {
  if (connected !== "open") return;
  try {
    const { redis } = await (await fetch("/status")).json();
    if (redis !== hasRedis) { hasRedis = redis; tell(); }
  } catch { /* The stream tells that this server is gone. */ }
}
setInterval(look, 3000);
tell();
connect();

$("listen").onsubmit = event => {
  event.preventDefault();
  const query = new URLSearchParams(Object.entries({ topics: $("listen").topics.value, names: $("listen").names.value }).filter(([, value]) => value));
  location.search = query;
};
$("publish").onsubmit = async event => {
  event.preventDefault();
  const form = event.target, data = form.data.value, query = new URLSearchParams();
  if (form.topic.value) query.set("topic", form.topic.value);
  if (form.elements.name.value) query.set("name", form.elements.name.value);
  // The same post may be sent again under its key until it is answered.
  const key = [...crypto.getRandomValues(new Uint8Array(12))].map(b => b.toString(16)).join("-");
  try {
    const answer = await fetch(`/publish?${query}`, { method: "POST", body: data, headers: { "Idempotency-Key": key } });
    $("problem").textContent = answer.ok ? ""
      : answer.status === 503 ? "Not published: Redis is away. Try again."
      : `Not published: ${(await answer.text()).trim() || answer.status}`;
    if (answer.ok && form.data.value === data) form.data.value = "";
  } catch {
    $("problem").textContent = "Not published: the server does not answer. Try again.";
  }
};
