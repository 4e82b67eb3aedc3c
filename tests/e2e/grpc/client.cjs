// As client.py, with @grpc/grpc-js: node client.cjs HOST
const { createHash } = require("node:crypto");
const grpc = require("@grpc/grpc-js");

const same = (bytes) => bytes;
const definition = (name, requestStream, responseStream) => ({
	path: `/keystile.Echo/${name}`, requestStream, responseStream,
	requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same,
});
const Echo = grpc.makeGenericClientConstructor({
	Unary: definition("Unary", false, false), Down: definition("Down", false, true), Up: definition("Up", true, false),
	Both: definition("Both", true, true), Fail: definition("Fail", false, false), FailLate: definition("FailLate", false, true),
	Refused: definition("Refused", false, false), Slow: definition("Slow", false, false),
});
const client = new Echo(`${process.argv[2]}:443`, grpc.credentials.createSsl(), { "grpc.max_receive_message_length": 64 << 20 });

function says() {
	const metadata = new grpc.Metadata();
	metadata.set("authorization", "Bearer of-the-agent");
	metadata.set("x-asked", "asked");
	metadata.set("x-asked-bin", Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
	return metadata;
}

// A call of one message: [error, reply, call's first and last metadata].
function once(name, message, metadata = new grpc.Metadata(), options = {}, begun = () => {}) {
	return new Promise((resolve) => {
		const seen = {};
		const call = client[name](Buffer.from(message), metadata, options, (error, reply) => {
			seen.error = error;
			seen.reply = reply;
		});
		call.on("metadata", (first) => { seen.first = first; begun(call); });
		call.on("status", (status) => { seen.last = status.metadata; setImmediate(() => resolve(seen)); });
	});
}

// What a stream says until its end, and the status.
function hear(call, each = () => {}) {
	return new Promise((resolve) => {
		const heard = [];
		call.on("data", (message) => { heard.push(message.toString()); each(heard, call); });
		call.on("error", () => {});
		call.on("status", (status) => resolve([heard, status.code, status.details]));
	});
}

const cases = {
	async unary() {
		const { reply, first, last } = await once("Unary", "hello", says());
		return [reply.toString(), first.get("x-initial")[0], first.get("x-again")[0], last.get("x-trailing")[0], last.get("x-trailing-bin")[0].toString("base64")];
	},
	async down() {
		return (await hear(client.Down(Buffer.from("100"))))[0].map(Number);
	},
	up() {
		return new Promise((resolve, reject) => {
			const call = client.Up((error, reply) => error ? reject(error) : resolve(reply.toString()));
			for (let i = 0; i < 100; i++)
				call.write(Buffer.alloc(1000, "x"));
			call.end();
		});
	},
	async both() {
		const call = client.Both();
		call.write(Buffer.from("first"));
		return (await hear(call, (heard) => heard.length < 20 ? call.write(Buffer.from(String(heard.length))) : call.end()))[0];
	},
	async large() {
		const message = Buffer.alloc(4 << 20, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
		return createHash("sha256").update((await once("Unary", message)).reply).digest("hex");
	},
	async fail() {
		const { error } = await once("Fail", "");
		return [error.code, error.details];
	},
	async fail_late() {
		return await hear(client.FailLate(Buffer.alloc(0)));
	},
	async refused() {
		return (await once("Refused", "")).error.code;
	},
	async deadline() {
		const began = Date.now();
		const { error } = await once("Slow", "deadline", new grpc.Metadata(), { deadline: began + 2000 });
		return [error.code, Date.now() - began < 10000];
	},
	async cancel() {
		const { error, first } = await once("Slow", "cancel", new grpc.Metadata(), {}, (call) => call.cancel());
		return [first.get("x-initial")[0], error.code];
	},
};

(async () => {
	const seen = {};
	for (const [name, run] of Object.entries(cases))
		seen[name] = await run();
	console.log(JSON.stringify(seen));
	client.close();
})();
