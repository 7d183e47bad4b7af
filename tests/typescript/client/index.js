import createClient from "openapi-fetch";

export function createTasksClient({ token, ...options }) {
  const client = createClient(options);
  client.use({
    async onRequest({ request }) {
      const value = typeof token === "function" ? await token() : token;
      request.headers.set("Authorization", `Bearer ${value}`);
    },
    // Without this, openapi-fetch takes "not modified" for an error whose body is empty.
    onResponse({ response }) {
      if (response.status !== 304) return undefined;
      const headers = new Headers(response.headers);
      headers.set("Content-Length", "0");
      return new Response(null, { status: 304, headers });
    },
  });
  return client;
}
