const state = document.getElementById("state");
const rows = document.getElementById("events");
// What is the same is not said again: a screen reader reads the state aloud when it changes.
const show = (name, text) => {
  state.dataset.state = name;
  if (state.textContent !== text) state.textContent = text;
};
const source = new EventSource("/events");
let count = 0;
const receive = event => {
  count += 1;
  document.getElementById("count").textContent = `${count} event${count === 1 ? "" : "s"}`;
  const row = document.createElement("tr");
  for (const text of [new Date().toLocaleTimeString(), event.type, event.lastEventId, event.data]) {
    row.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  rows.prepend(row);
  while (rows.children.length > 20) rows.lastChild.remove();
};
source.onopen = () => show("open", "open");
source.onmessage = receive;
source.addEventListener("tick", receive);
source.onerror = () => source.readyState === EventSource.CLOSED
  ? show("closed", "closed by the server")
  : show("connecting", "connection lost, reconnecting");
