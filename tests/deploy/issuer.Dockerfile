# A Better Auth server with accounts in memory, for compose.yaml: to try things out, not to keep anybody's account.
FROM node:24-slim
WORKDIR /issuer
COPY package.json package-lock.json .npmrc better-auth.mjs ./
RUN npm ci --omit=dev --no-audit --no-fund --ignore-scripts
USER 1000:1000
EXPOSE 3000
CMD ["node", "--input-type=module", "--eval", "import { startIssuer } from './better-auth.mjs'; await startIssuer({ host: '0.0.0.0', name: 'localhost', port: 3000 });"]
