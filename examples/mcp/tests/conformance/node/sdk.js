// node sdk.js URL: the client of the protocol's TypeScript SDK against our server, then the same through a
// proxy that cuts the connection in the middle of the progress.
import assert from 'node:assert/strict';
import net from 'node:net';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const url = new URL(process.argv[2]);

async function session(url, use) {
  const client = new Client({ name: 'test', version: '1.0.0' });
  const transport = new StreamableHTTPClientTransport(url);
  await client.connect(transport);
  await use(client, transport);
  await transport.terminateSession();
  await client.close();
}

async function count(client, to) {
  const seen = [];
  const result = await client.callTool(
    { name: 'count', arguments: { to, milliseconds: 50 } }, undefined,
    { onprogress: ({ progress, total }) => { assert.equal(total, to); seen.push(progress); } },
  );
  assert.deepEqual(result.content, [{ type: 'text', text: `counted to ${to}` }]);
  assert.deepEqual(seen, Array.from({ length: to }, (_, n) => n + 1));
}

await session(url, async (client, transport) => {
  assert.equal(transport.protocolVersion, '2025-11-25');
  assert.deepEqual((await client.listTools()).tools.map(tool => tool.name), ['count']);
  await count(client, 5);
  await Promise.all([count(client, 20), count(client, 10), client.ping()]);
  const prompt = await client.getPrompt({ name: 'explain', arguments: { subject: 'tides' } });
  assert.match(prompt.messages[0].content.text, /tides/);
  const { resources } = await client.listResources();
  const read = await client.readResource({ uri: resources[0].uri });
  assert.match(read.contents[0].text, /^\d+ s$/);
  await assert.rejects(client.callTool({ name: 'none' }), /there is no tool/);
  await assert.rejects(client.callTool({ name: 'count', arguments: { to: -1 } }), /from 0 to 1000/);
});
console.log('over a connection that stays');

// Cuts each connection on which a progress passes for the first time, right there.
let cuts = 0;
const proxy = net.createServer(inner => {
  const outer = net.connect(url.port, url.hostname);
  const end = () => { inner.destroy(); outer.destroy(); };
  inner.pipe(outer);
  outer.on('data', data => {
    inner.write(data);
    if (cuts < 2 && data.includes(`"progress":${cuts * 5 + 5},`)) {
      cuts += 1;
      end();
    }
  });
  for (const side of [inner, outer]) side.on('error', end).on('close', end);
});
await new Promise(resolve => proxy.listen(0, '127.0.0.1', resolve));
await session(new URL(`http://127.0.0.1:${proxy.address().port}${url.pathname}`), async client => {
  await count(client, 20);
});
proxy.close();
assert.equal(cuts, 2);
console.log('over one that is cut twice');
console.log('done');
