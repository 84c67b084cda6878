// OpenAI's own Node client against the gateway: one answer whole, one streamed, as a chat and as a response; what came back is one JSON document on stdout.
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
const asked = { model: request.model, input: question, max_output_tokens: 40 };
const response = await client.responses.create(asked);
const deltas = [];
for await (const event of await client.responses.create({ ...asked, stream: true })) {
  if (event.type === "response.output_text.delta") deltas.push(event.delta);
}
const said = { text: response.output_text, cited: response.output[0].content[0].annotations, deltas };
const models = [];
for await (const model of client.models.list()) models.push(model.id);
let refusal = {};
try {
  await client.chat.completions.create({ ...request, messages: [] });
} catch (error) {
  refusal = { name: error.constructor.name, status: error.status, param: error.param };
}
console.log(JSON.stringify({ text: whole.choices[0].message.content, cited: whole.choices[0].message.annotations, pieces, passages, annotations, models, refusal, response: said }));
