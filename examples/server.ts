/**
 * A trained model behind HTTP: `node --import tsx examples/server.ts runs/a 8080`, then
 * `curl localhost:8080 -d '{"amount": 12, "country": "DE"}'`. One row or a list of rows; requests that come together are
 * computed together.
 */
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { LockstepError, Predictor, type Row } from 'lockstep/predict';

const [model = 'runs/a', port = '8080'] = process.argv.slice(2);
const predictor = await Predictor.load(model);
const server = createServer(async (request, response) => {
  const send = (status: number, body: unknown) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  try {
    send(200, await predictor.predict((await json(request)) as Row));
  } catch (error) {
    const mistake = error instanceof LockstepError || error instanceof SyntaxError; // the row's, or no JSON
    send(mistake ? 400 : 500, { error: mistake ? error.message : 'internal error' });
  }
});
server.listen(Number(port), '127.0.0.1', () => console.log('listening on', server.address()));
