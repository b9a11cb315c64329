const $ = id => document.getElementById(id);
// What others wrote becomes text and never markup.
const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text });
const hue = name => [...name].reduce((h, c) => (h * 31 + c.codePointAt(0)) % 360, 7);
const room = decodeURIComponent(location.pathname.split("/")[2]);
const path = `/rooms/${encodeURIComponent(room)}`;
document.title = $("room").textContent = room;

const params = new URLSearchParams(location.search);
let name = params.get("name") || localStorage.getItem("name") || `guest ${Math.floor(Math.random() * 900) + 100}`;
$("name").value = name;

// Which page this is, so that it is not somebody else when it comes back under another name.
const page = [...crypto.getRandomValues(new Uint8Array(12))].map(b => b.toString(16).padStart(2, "0")).join("");

let source, last = "", lastName = null;
const show = (state, text) => {
  $("state").dataset.state = state;
  // What is the same is not read aloud again.
  if ($("state").textContent !== text) $("state").textContent = text;
};
// The newest message stays in view, unless somebody has scrolled up to read; also when the log gets
// another size, by the window or by the field below that grows.
const log = $("log");
const size = () => `${log.clientWidth} ${log.clientHeight}`;
let follow = true, seen = size();
const keepUp = () => { if (follow) log.scrollTop = log.scrollHeight; };
log.addEventListener("scroll", () => {
  // What another size does to the position is no scrolling of the reader's.
  if (size() === seen) follow = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
});
new ResizeObserver(() => { seen = size(); keepUp(); }).observe(log);
const add = (element, said) => {
  lastName = said ?? null;
  log.append(element);
  while (log.children.length > 600) log.firstChild.remove();
  keepUp();
};
const note = (text, gap) => add(make("p", gap ? "note gap" : "note", text));

const on = {
  message({ name, text, at }) {
    const message = make("article", lastName === name ? "message more" : "message", "");
    message.style.setProperty("--hue", hue(name));
    message.dataset.letter = [...name][0].toUpperCase();
    const who = make("div", "who", "");
    const time = make("time", "", new Date(at).toLocaleTimeString([], { timeStyle: "short" }));
    time.dateTime = new Date(at).toISOString();
    who.append(make("b", "", name), time);
    message.append(who, make("div", "text", text));
    message.querySelectorAll("b, .text").forEach(element => { element.dir = "auto"; });
    add(message, name);
  },
  here({ joined, left, was, now, names }) {
    if (joined) note(`${joined} came in`);
    if (left) note(`${left} left`);
    if (was) note(`${was} is ${now} now`);
    $("count").textContent = `${names.length} here`;
    $("here").replaceChildren(...names.map(name => {
      const item = make("li", "", name);
      item.style.setProperty("--hue", hue(name));
      return item;
    }));
  },
  gap() { note("What was said while you were away is gone: something may be missing here.", true); },
};

const connect = () => {
  source?.close();
  show("connecting", "connecting");
  // The browser sends the last event ID by itself when it reconnects, but not for a new source.
  source = new EventSource(`${path}/events?${new URLSearchParams({ name, page, lastEventId: last })}`);
  source.onopen = () => show("open", "connected");
  for (const type of Object.keys(on)) {
    source.addEventListener(type, event => {
      last = event.lastEventId;
      on[type](event.data && JSON.parse(event.data));
    });
  }
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return show("connecting", "connection lost, reconnecting");
    show("closed", "the room is full or the server is away, trying again");
    setTimeout(connect, 5000);
  };
};
connect();

// A page that goes says so, or it would be here until the server misses it. One that is loaded again
// is back before anybody is told.
addEventListener("pagehide", () => {
  source.close();
  navigator.sendBeacon(`${path}/leave`, new URLSearchParams({ page }));
});
addEventListener("pageshow", event => { if (event.persisted) connect(); });

$("name").onchange = () => {
  name = $("name").value = $("name").value.trim() || name;
  localStorage.setItem("name", name);
  connect();
};
$("go").onsubmit = event => {
  event.preventDefault();
  const other = $("other").value.trim();
  if (other) location.href = `/rooms/${encodeURIComponent(other)}`;
};
$("say").onsubmit = async event => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim()) return;
  try {
    const answer = await fetch(`${path}/messages`, { method: "POST", body: new URLSearchParams({ name, text }) });
    $("refused").textContent = answer.ok ? "" : "not taken";
    // It is shown when it comes back as an event, as for everybody.
    if (answer.ok && $("text").value === text) $("text").value = "";
  } catch {
    $("refused").textContent = "not sent, try again";
  }
};
$("text").onkeydown = event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say").requestSubmit();
};
