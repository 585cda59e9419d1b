// A module on Microsoft's Node SDK: says on standard output what happens, one JSON document a line.
'use strict';

const { ModuleClient, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const say = (event, value) => console.log(JSON.stringify({ event, value }));

async function main() {
  const client = await ModuleClient.fromEnvironment(Mqtt);
  await client.open();
  say('open', null);

  const twin = await client.getTwin();
  say('twin', twin.properties.desired);
  twin.on('properties.desired.interval', (value) => say('interval', value));
  await new Promise((resolve, reject) =>
    twin.properties.reported.update({ runsOn: 'node' }, (error) => (error ? reject(error) : resolve())));

  client.onMethod('blink', (request, response) => {
    say('method', request.payload);
    response.send(207, { got: request.payload }, (error) => error && fail(error));
  });

  client.on('inputMessage', (input, message) => {
    say('input', { input, body: message.getData().toString(), level: message.properties.getValue('level') });
    const result = new Message(JSON.stringify({ seen: message.getData().toString() }));
    result.contentType = 'application/json';
    result.contentEncoding = 'utf-8';
    result.properties.add('from', 'node');
    client.complete(message)
      .then(() => client.sendOutputEvent('up', result))
      .then(() => say('sent', null))
      .catch(fail);
  });
  say('ready', null);

  // The test closes standard input when it has seen enough.
  process.stdin.resume().on('end', () => client.close().then(() => process.exit(0), fail));
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

main().catch(fail);
