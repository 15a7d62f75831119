# The service as an image: no build tools, a user without rights, nothing to write outside /data and /tmp.
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev
# The digest of the FHIR definitions, so that a start on a read-only root need not make it.
RUN node --input-type=module -e "(await import('/app/dist/src/fhir/definitions.js')).loadDefinitions()"

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production KAP_HOST=0.0.0.0 KAP_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/package.json /app/LICENSE ./
COPY --from=build /app/bin ./bin
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.KAP_PORT ?? 8080}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--max-semi-space-size=32", "--no-allocation-site-pretenuring", "bin/kap-bridge.mjs"]
CMD ["start"]
