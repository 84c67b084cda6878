// OpenAI's Node client: an answer whole and streamed, a response, and a tool called and answered.
import OpenAI from "openai";

const [baseURL, question] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const asked = { model: "chipalign-demo", messages: [{ role: "user", content: question }] };
const { message } = (await client.chat.completions.create(asked)).choices[0];
let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) streamed += chunk.choices[0]?.delta.content ?? "";
const response = await client.responses.create({ model: asked.model, input: question });

const tools = [{ type: "function", function: { name: "get_time", parameters: { type: "object", properties: {} } } }];
const called = (await client.chat.completions.create({ ...asked, tools })).choices[0].message;
const result = { role: "tool", tool_call_id: called.tool_calls[0].id, content: "12:00" };
const told = await client.chat.completions.create({ ...asked, messages: [...asked.messages, called, result], tools });
const seen = { whole: message.content, streamed, response: response.output_text, tool: called.tool_calls[0].function.name };
const citations = message.annotations.map((each) => each.url_citation.title);
console.log(JSON.stringify({ ...seen, after_tool: told.choices[0].message.content, citations }));
