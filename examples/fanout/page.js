const show = (id, value) => { document.getElementById(id).textContent = value; };
const state = (name, text) => {
  const state = document.getElementById("state");
  state.dataset.state = name;
  // What is the same is not read aloud again.
  if (state.textContent !== text) state.textContent = text;
  document.getElementById("figures").className = name === "open" ? "" : "lost";
};
const source = new EventSource("/events");
source.onopen = () => state("open", "connected");
source.onerror = () => source.readyState === EventSource.CLOSED
  ? state("closed", "refused: load the page again")
  : state("connecting", "connection lost: these numbers are old");
source.onmessage = event => {
  const { streams, threads, kilobytes, rate } = JSON.parse(event.data);
  show("streams", streams.toLocaleString());
  show("threads", threads || "not known");
  show("memory", kilobytes ? (kilobytes / 1024).toFixed(1) : "not known");
  show("each", kilobytes && streams ? (kilobytes / streams).toFixed(1) : "not known");
  show("rate", rate.toLocaleString());
};
