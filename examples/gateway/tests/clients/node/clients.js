// node clients.js GATEWAY PROVIDER: the official clients of two services, through the gateway.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const [gateway, provider] = process.argv.slice(2);
const openai = new OpenAI({ apiKey: 'none', baseURL: `${gateway}/v1`, maxRetries: 0 });
const anthropic = new Anthropic({ apiKey: 'none', baseURL: gateway, maxRetries: 0 });
const text = count => Array.from({ length: count }, (_, n) => `token ${n}, naïvely 🎉 `).join('');

// The same for both: gives the text so far to `seen`, and fails as the client does.
const clients = {
  openai: async (script, seen = () => {}) => {
    const messages = [{ role: 'user', content: 'hello' }];
    const stream = await openai.chat.completions.create({ model: `made-up,${script}`, messages, stream: true });
    let text = '';
    let finished;
    for await (const chunk of stream) {
      text += chunk.choices[0].delta.content ?? '';
      finished = chunk.choices[0].finish_reason;
      seen(text, stream.controller);
    }
    return { text, finished };
  },
  anthropic: async (script, seen = () => {}) => {
    const messages = [{ role: 'user', content: 'hello' }];
    const stream = await anthropic.messages.create({
      model: `made-up,${script}`, max_tokens: 1000, messages, stream: true,
    });
    let text = '';
    let finished;
    for await (const event of stream) {
      if (event.type === 'content_block_delta') text += event.delta.text;
      if (event.type === 'message_stop') finished = 'message_stop';
      seen(text, stream.controller);
    }
    return { text, finished };
  },
};

const state = async () => (await fetch(provider)).json();
async function until(what, holds) {
  const start = performance.now();
  while (!await holds()) {
    assert(performance.now() - start < 30_000, `not within 30 s: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  return performance.now() - start;
}

for (const [name, ask] of Object.entries(clients)) {
  const whole = await ask('tokens=30,pace=2,ping=3');
  assert.equal(whole.text, text(30));
  assert.equal(whole.finished, name === 'openai' ? 'stop' : 'message_stop');

  // The provider thinks for longer than the gateway is silent.
  assert.equal((await ask('tokens=2,think=1800')).text, text(2));

  const refused = await ask('status=429').then(() => assert.fail('not refused'), error => error);
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('retry-after'), '7');
  assert.match(refused.message, /overloaded, as requested/);

  let before = '';
  const broken = await ask('error=3,pace=1', text => { before = text; })
    .then(() => assert.fail('no error'), error => error);
  assert.equal(before, text(3));
  assert.match(broken.message, /broken, as requested/);

  const cut = await ask('cut=3,pace=1', text => { before = text; })
    .then(() => assert.fail(`a reply that was cut looks complete to ${name}`), error => error);
  assert.equal(before, text(3));
  console.log(`${name} sees a cut as: ${cut.name}: ${cut.message}`);

  for (const script of ['tokens=100000,pace=10', 'tokens=2,pace=60000']) {
    const { cancelled } = await state();
    await ask(script, (text, controller) => text && controller.abort()).catch(() => {});
    const time = await until('the provider sees the cancellation', async () => (await state()).cancelled > cancelled);
    console.log(`${name} cancels ${script}: the provider knows after ${Math.round(time)} ms`);
    await until('no stream is left', async () => (await state()).open === 0);
  }
}

// What asks for no stream is passed on too.
const completion = await openai.chat.completions.create({ model: 'made-up,tokens=2', messages: [] });
assert.equal(completion.choices[0].message.content, text(2));
console.log('done');
