// `node worker.mjs PORT…`: axios behind opossum, as worker.py: a round of so many seconds for each line on stdin.
import http from "node:http";
import { createInterface } from "node:readline";
import { performance } from "node:perf_hooks";
import axios from "axios";
import CircuitBreaker from "opossum";

const IN_FLIGHT = 32;
const url = `http://127.0.0.1:${process.argv[2]}/items/7`;
const client = axios.create({
  timeout: 5000,
  proxy: false,
  httpAgent: new http.Agent({ keepAlive: true, maxSockets: 64 }),
  headers: {
    accept: "application/json",
    "x-correlation-id": "call_0123456789abcdef0123456789abcdef",
    "x-request-timeout-ms": "5000",
    "x-service-authorization": "Bearer token",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  },
});
const breaker = new CircuitBreaker(async () => (await client.get(url)).data, {
  timeout: 5000,
  errorThresholdPercentage: 50,
  resetTimeout: 1000,
});

async function round(seconds) {
  const took = [];
  const cpu = process.cpuUsage();
  const began = performance.now();
  const end = began + seconds * 1000;
  async function loop() {
    let before = performance.now();
    while (before < end) {
      await breaker.fire();
      const after = performance.now();
      took.push(after - before);
      before = after;
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
  const wall = (performance.now() - began) / 1000;
  const used = process.cpuUsage(cpu);
  took.sort((one, other) => one - other);
  return {
    rate: took.length / wall,
    cpu_us: (used.user + used.system) / took.length,
    p50_ms: took[Math.floor(took.length / 2)],
    p99_ms: took[Math.floor(took.length * 0.99)],
  };
}

await round(0.5);
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await round(Number(line))));
}
process.exit(0);
