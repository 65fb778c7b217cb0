// Makes a few calls with the generated types and prints what was returned.
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

const [baseUrl, apiKey] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl });
const account = { params: { path: { apiKey } } };

// A call of a service that has no other status has no typed error.
async function replyOf<T>(call: Promise<{ data?: T; response: Response }>): Promise<T> {
  const { data, response } = await call;
  if (data === undefined) throw new Error(`status ${response.status}`);
  return data;
}

const asked = { quantity: 1, rentPeriodDays: 30, country: 'USA', goal: 'price monitoring' };
const order: components['schemas']['Ipv4Order'] = { ...asked, proxyType: 'IPv4', authType: 'LOGIN' };

const before = await replyOf(client.GET('/{apiKey}/balance', account));
const quote = await replyOf(
  client.POST('/{apiKey}/calculate/order', { ...account, body: { ...asked, proxyType: 'IPv4' } }),
);
const ordered = await replyOf(client.POST('/{apiKey}/order', { ...account, body: order }));
const refused = await replyOf(
  client.POST('/{apiKey}/order', { ...account, body: { ...order, goal: 'spam' } }),
);
const listed = await replyOf(client.GET('/{apiKey}/ipAddress', account));
const stranger = await replyOf(
  client.GET('/{apiKey}/balance', { params: { path: { apiKey: 'another-key' } } }),
);

const text = (amount: number | null) => (amount === null ? 'null' : String(amount));
console.log(
  JSON.stringify({
    balance: text(before.balance),
    price: text(quote.price),
    orderNumber: ordered.orderNumber ?? '',
    balanceLeft: text(ordered.balance),
    refusal: refused.error?.code ?? 0,
    mobileProxies: (listed.MOBILE ?? []).map((ip) => String(ip.ipAddressId)),
    balanceOfStranger: text(stranger.balance),
    refusalOfStranger: stranger.error?.code ?? 0,
  }),
);
