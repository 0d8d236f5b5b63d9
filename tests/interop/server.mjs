// oidc-provider twice: with plain http and no nonces, and with https and DPoP proofs that need one.
//
//     node server.mjs FOLDER SETTINGS
//
// FOLDER has node_modules, SETTINGS is a JSON file with `clients`, `scope`, `resource`, `key` and `certificate` (PEM).
// Prints {"plain": ISSUER, "nonce": ISSUER} when both listen on loopback, and ends with its standard input.
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, file] = process.argv.slice(2);
const settings = JSON.parse(fs.readFileSync(file, 'utf8'));
const entry = path.resolve(folder, 'node_modules/oidc-provider/lib/index.js');
const { Provider } = await import(pathToFileURL(entry));

const signing = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const assertions = ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'PS256', 'ES256', 'ES384', 'ES512'];
const methods = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt'];

function configuration(needsNonce) {
  const nonces = { nonceSecret: crypto.randomBytes(32), requireNonce: () => true };
  return {
    clients: settings.clients,
    clientAuthMethods: methods,
    cookies: { keys: ['not used'] },
    enabledJWA: { clientAuthSigningAlgValues: assertions, dPoPSigningAlgValues: ['ES256'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true, ...(needsNonce ? nonces : {}) },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: settings.scope,
          audience: settings.resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    jwks: { keys: [{ ...signing, kid: 'signing', use: 'sig', alg: 'RS256' }] },
    scopes: [settings.scope],
    ttl: { ClientCredentials: 600 },
  };
}

async function listening(server, scheme, needsNonce) {
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const issuer = `${scheme}://127.0.0.1:${server.address().port}`;
  server.on('request', new Provider(issuer, configuration(needsNonce)).callback());
  return issuer;
}

const tls = { key: settings.key, cert: settings.certificate };
const plain = await listening(http.createServer(), 'http', false);
const nonce = await listening(https.createServer(tls), 'https', true);
console.log(JSON.stringify({ plain, nonce }));
process.stdin.resume().on('end', () => process.exit());
