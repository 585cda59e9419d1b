// A device uploads BYTES bytes by azure-iot-device; azure-iothub waits for the notice and prints it.
'use strict';
const { Readable } = require('stream');
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const service = require('azure-iothub').Client.fromConnectionString(process.env.SERVICE);

const size = Number(process.env.BYTES);

async function main() {
  await service.open();
  const receiver = await new Promise((resolve, reject) => {
    service.getFileNotificationReceiver((error, made) => (error ? reject(error) : resolve(made)));
  });
  const told = new Promise((resolve, reject) => {
    receiver.on('errorReceived', reject);
    receiver.on('message', async (message) => {
      await receiver.complete(message);
      resolve(JSON.parse(message.data.toString()));
    });
  });
  const device = Client.fromConnectionString(process.env.DEVICE, Mqtt);
  await device.uploadToBlob('big.bin', Readable.from([Buffer.alloc(size, 7)]), size);
  console.log(JSON.stringify(await told));
  await device.close();
  await service.close();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
