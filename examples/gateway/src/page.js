'use strict';
const show = (id, text) => { document.getElementById(id).textContent = text; };
show('url', location.origin + '/');
const source = new EventSource('/events');
let last;
source.addEventListener('stats', event => {
  const stats = JSON.parse(event.data);
  const now = performance.now();
  for (const id of ['open', 'tokens', 'complete', 'cancelled', 'broken', 'other']) {
    show(id, stats[id].toLocaleString());
  }
  show('first_token', stats.first_token_us ? `${(stats.first_token_us / 1000).toFixed(1)} ms` : '–');
  if (last && now > last.now) {
    show('rate', Math.round((stats.tokens - last.tokens) / (now - last.now) * 1000).toLocaleString());
  }
  // A rate over less than that says little.
  if (!last || now - last.now > 200) last = { now, tokens: stats.tokens };
});
const state = (name, text) => {
  const state = document.getElementById('state');
  state.dataset.state = name;
  // What is the same is not read aloud again.
  if (state.textContent !== text) state.textContent = text;
  document.body.classList.toggle('stale', name !== 'open');
};
source.onopen = () => state('open', 'live');
source.onerror = () => source.readyState === EventSource.CLOSED
  ? state('closed', 'refused: load the page again')
  : state('connecting', 'connection lost: these numbers are old');
// The numbers of a gateway at rest do not change, its rate does.
setInterval(() => { if (last && performance.now() - last.now > 1500) show('rate', '0'); }, 500);
