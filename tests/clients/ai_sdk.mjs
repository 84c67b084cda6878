// The AI SDK: text whole and streamed over chat and over responses, and a tool that it calls by itself.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL, prompt] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey: "none" });
const model = openai.chat("chipalign-demo");
const compatible = createOpenAICompatible({ name: "chipalign", baseURL })("chipalign-demo");
const whole = await generateText({ model, prompt, maxRetries: 0 });
let streamed = "";
for await (const piece of streamText({ model: compatible, prompt, maxRetries: 0 }).textStream) streamed += piece;
const response = await generateText({ model: openai("chipalign-demo"), prompt, maxRetries: 0 });

const get_time = tool({ description: "The time.", inputSchema: z.object({}), execute: async () => "12:00" });
const told = await generateText({ model, prompt, tools: { get_time }, stopWhen: stepCountIs(3), maxRetries: 0 });
const called = told.steps[0].toolCalls[0].toolName;
const seen = { whole: whole.text, streamed, response: response.text, tool: called, after_tool: told.text };
console.log(JSON.stringify({ ...seen, citations: whole.sources.map((each) => each.title) }));
