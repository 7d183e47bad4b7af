import createClient from "openapi-fetch";

export function createTasksClient({ token, ...options }) {
  const client = createClient(options);
  client.use({
    async onRequest({ request }) {
      const value = typeof token === "function" ? await token() : token;
      request.headers.set("Authorization", `Bearer ${value}`);
    },
    onResponse({ response }) {
      const { status, headers } = response;
      // Without this, openapi-fetch takes "not modified" for an error whose body is empty.
      if (status === 304) {
        const empty = new Headers(headers);
        empty.set("Content-Length", "0");
        return new Response(null, { status, headers: empty });
      }
      // A proxy's answer, which would be an error without a code, or none at all.
      if (!response.ok && !headers.get("Content-Type")?.startsWith("application/problem+json")) {
        throw new Error(`${status} from something between here and the server`);
      }
      return undefined;
    },
  });
  return client;
}
