// The main calls of azure-iothub, one after the other; prints one JSON line with what came of each.
'use strict';
const { Registry, Client, JobClient, DigitalTwinClient, IoTHubTokenCredentials } = require('azure-iothub');
const { Message } = require('azure-iot-common');
const device = require('azure-iot-device').Client;
const { Mqtt } = require('azure-iot-device-mqtt');

const text = process.env.SERVICE;
const said = {};

const until = async (look) => {
  for (let n = 0; n < 200; n += 1) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not come');
};
const called = (target, method, ...given) =>
  new Promise((resolve, reject) => {
    target[method](...given, (error, result) => (error ? reject(error) : resolve(result)));
  });

async function registry() {
  const hub = Registry.fromConnectionString(text);
  const made = await called(hub, 'create', { deviceId: 'node', status: 'enabled' });
  said.key = made.authentication.symmetricKey.primaryKey;
  said.got = (await called(hub, 'get', 'node')).deviceId;
  await called(hub, 'update', { ...made, statusReason: 'looked at' });
  said.reason = (await called(hub, 'get', 'node')).statusReason;
  said.bulk = (await called(hub, 'addDevices', [{ deviceId: 'b1' }, { deviceId: 'b2' }])).isSuccessful;
  said.listed = (await called(hub, 'list')).map((one) => one.deviceId).sort();
  await called(hub, 'removeDevices', [{ deviceId: 'b1' }], true);
  await called(hub, 'delete', 'b2');
  try {
    await called(hub, 'get', 'b2');
  } catch (error) {
    said.missing = error.name;
  }
  await called(hub, 'addModule', { deviceId: 'node', moduleId: 'mod' });
  said.modules = (await called(hub, 'getModulesOnDevice', 'node')).map((one) => one.moduleId);
  await called(hub, 'removeModule', 'node', 'mod');
  const twin = await called(hub, 'getTwin', 'node');
  await called(hub, 'updateTwin', 'node', { tags: { room: 'a' }, properties: { desired: { n: 1 } } }, twin.etag);
  const rows = await called(hub.createQuery("SELECT * FROM devices WHERE tags.room = 'a'", 10), 'nextAsTwin');
  said.queried = rows.map((one) => [one.deviceId, one.properties.desired.n]);
  const content = { deviceContent: { 'properties.desired.cool': { t: 5 } } };
  await called(hub, 'addConfiguration', { id: 'cool', content, targetCondition: "deviceId = 'node'", priority: 1 });
  said.configurations = (await called(hub, 'getConfigurations')).map((one) => one.id);
  await until(async () => (await called(hub, 'getTwin', 'node')).properties.desired.cool);
  await called(hub, 'removeConfiguration', 'cool');
  said.statistics = (await called(hub, 'getRegistryStatistics')).totalDeviceCount;
}

async function service() {
  const host = /HostName=([^;]+)/.exec(text)[1];
  const client = device.fromConnectionString(
    `HostName=${host};DeviceId=node;SharedAccessKey=${said.key}`, Mqtt);
  await client.open();
  client.onDeviceMethod('go', (request, response) => response.send(207, { got: request.payload }, () => {}));
  const got = [];
  client.on('message', (message) => {
    got.push(message.data.toString());
    client.complete(message, () => {});
  });
  const hub = Client.fromConnectionString(text);
  await hub.open();
  const call = { methodName: 'go', payload: 3, responseTimeoutInSeconds: 10, connectTimeoutInSeconds: 10 };
  const answer = await called(hub, 'invokeDeviceMethod', 'node', call);
  said.method = [answer.status, answer.payload];
  const receiver = await called(hub, 'getFeedbackReceiver');
  const feedback = new Promise((resolve) => receiver.on('message', (message) => {
    receiver.complete(message, () => {});
    resolve(JSON.parse(message.data.toString())[0].statusCode);
  }));
  const message = new Message('hello');
  message.ack = 'full';
  message.messageId = 'm-1';
  await called(hub, 'send', 'node', message);
  await until(() => got.length === 1);
  said.message = got[0];
  said.feedback = await feedback;
  const jobs = JobClient.fromConnectionString(text);
  await called(jobs, 'scheduleTwinUpdate', 'j-1', "deviceId = 'node'", { etag: '*', tags: { job: 1 } }, new Date(), 60);
  await until(async () => (await called(jobs, 'getJob', 'j-1')).status === 'completed');
  said.job = 'completed';
  const twins = new DigitalTwinClient(new IoTHubTokenCredentials(text));
  said.twin = (await twins.getDigitalTwin('node')).$dtId;
  const command = await twins.invokeCommand('node', 'go', 4);
  said.command = [command.xMsCommandStatuscode, command.body];
  await client.close();
  await hub.close();
}

registry().then(service).then(
  () => { console.log(JSON.stringify(said)); process.exit(0); },
  (error) => { console.error(JSON.stringify(said), error); process.exit(1); });
