// A client as a program: orders come in as lines of JSON, answers go out as such.

import { createInterface } from "node:readline";

/** Carries out orders with what `connect` opens; what fails is told with all that a user of the client learns of it. */
export async function serve(connect) {
  const open = new Map();
  for await (const line of createInterface(process.stdin)) {
    const { order, connection, ...given } = JSON.parse(line);
    let answer;
    try {
      if (order === "connect") {
        const client = await connect(given);
        open.set(connection, client);
        answer = { done: { version: client.version, instructions: client.instructions } };
      } else if (order === "tools") {
        answer = { done: await open.get(connection).tools() };
      } else if (order === "call") {
        const { content, isError, structuredContent } = await open.get(connection).call(given.name, given.arguments);
        answer = { done: { text: content[0].text, isError: isError ?? false, structured: structuredContent } };
      } else {
        await open.get(connection).close();
        answer = { done: true };
      }
    } catch (error) {
      answer = { failed: { text: String(error.message), code: error.status ?? error.code, data: error.data } };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
