// Two of Node's HTTP servers that tell, in a header of the answer, what they take each request to be.
// `node origin.js STRICT LENIENT`: the Unix sockets to listen on. Ends with its standard input.
"use strict";
const http = require("node:http");

const ascii = (text) => text.replace(/[\u007f-\uffff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

function listen(path, insecureHTTPParser) {
  const server = http.createServer({ insecureHTTPParser, maxHeaderSize: 1 << 20, requireHostHeader: false });
  server.on("request", (request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const all = (name) => request.rawHeaders.filter((_, i, raw) => i % 2 && raw[i - 1].toLowerCase() === name);
      const seen = {
        method: request.method,
        target: request.url,
        hosts: all("host"),
        authorizations: all("authorization"),
        body: Buffer.concat(pieces).toString("latin1"),
      };
      response.setHeader("X-Seen", ascii(JSON.stringify(seen)));
      response.setHeader("Content-Length", "0");
      response.end();
    });
  });
  return new Promise((resolve) => server.listen(path, resolve));
}

Promise.all([listen(process.argv[2], false), listen(process.argv[3], true)]).then(() => console.log("ready"));
process.stdin.on("end", () => process.exit(0)).resume();
