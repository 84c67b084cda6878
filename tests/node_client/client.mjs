// OpenAI's own Node client against the gateway: one answer whole, one streamed; what came back is one JSON document on stdout.
import OpenAI from "openai";

const [baseURL, question] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const request = { model: "chipalign-demo", messages: [{ role: "user", content: question }], max_tokens: 40 };

const whole = await client.chat.completions.create(request);
const pieces = [];
let passages = 0;
let annotations = [];
for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
  passages = Math.max(passages, chunk.retrieval?.hits.length ?? 0);
  const delta = chunk.choices[0]?.delta ?? {};
  if (delta.content) pieces.push(delta.content);
  if (delta.annotations) annotations = delta.annotations;
}
const models = [];
for await (const model of client.models.list()) models.push(model.id);
let refusal = {};
try {
  await client.chat.completions.create({ ...request, messages: [] });
} catch (error) {
  refusal = { name: error.constructor.name, status: error.status, param: error.param };
}
console.log(JSON.stringify({ text: whole.choices[0].message.content, cited: whole.choices[0].message.annotations, pieces, passages, annotations, models, refusal }));
