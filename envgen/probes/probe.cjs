// Node's own clients, and packages that lie where npm installs for all (npm root -g): node probe.cjs CLIENT version, or
// node probe.cjs CLIENT get URL...
const { createRequire } = require("module");
const { join } = require("path");

// The file of a package: as its own package.json says, or its main file where that names none for require().
function load(name) {
	const folders = [join(process.execPath, "../../lib/"), "/usr/local/lib/"];
	for (const folder of folders)
		for (const wanted of [name, join(folder, "node_modules", name)]) {
			try {
				return createRequire(folder).resolve(wanted);
			} catch {
				// elsewhere
			}
		}
	return require.resolve(name);
}

const use = async (name) => {
	const module = await import(load(name));
	return { ...module.default, ...module, default: module.default ?? module };
};

const byHttp = (url, options = {}) => new Promise((resolve) => {
	const request = require(url.startsWith("https:") ? "https" : "http").get(url, { timeout: 5000, ...options }, (response) => {
		response.resume();
		response.on("end", resolve);
	});
	request.on("timeout", () => request.destroy());
	request.on("error", resolve);
	request.on("close", resolve);
});

const clients = {
	fetch: () => (url) => fetch(url, { signal: AbortSignal.timeout(5000) }),
	http: () => byHttp,
	async undici() {
		const { request, EnvHttpProxyAgent } = await use("undici");
		const dispatcher = new EnvHttpProxyAgent();
		return (url) => request(url, { dispatcher, signal: AbortSignal.timeout(5000) });
	},
	async axios() {
		const axios = (await use("axios")).default;
		return (url) => axios.get(url, { timeout: 5000 });
	},
	async "proxy-agent"() {
		const { ProxyAgent } = await use("proxy-agent");
		const agent = new ProxyAgent();
		return (url) => byHttp(url, { agent });
	},
	async got() {
		const { ProxyAgent } = await use("proxy-agent");
		const got = (await use("got")).default;
		const agent = new ProxyAgent();
		return (url) => got(url, { agent: { http: agent, https: agent }, timeout: { request: 5000 }, retry: { limit: 0 } });
	},
	async "global-agent"() {
		(await use("global-agent")).bootstrap();
		return byHttp;
	},
};

// Node's fetch, and what is built in, have Node's version.
function version(client) {
	if (client === "fetch" && typeof fetch === "undefined")
		throw new Error("this Node has no fetch");
	if (client === "fetch" || client === "http")
		return process.version.slice(1);
	for (let folder = load(client); folder !== "/"; folder = join(folder, "..")) {
		try {
			const about = require(join(folder, "package.json"));
			if (about.name === client)
				return about.version;
		} catch {
			// further up
		}
	}
	throw new Error("no package.json");
}

async function main(client, what, urls) {
	if (what === "version") {
		const found = version(client);
		await clients[client]();
		console.log(found);
		return;
	}
	const ask = await clients[client]();
	for (const url of urls) {
		try {
			await ask(url);
		} catch {
			// a refusal is an answer: what counts is where it came from
		}
	}
}

main(process.argv[2], process.argv[3], process.argv.slice(4)).then(() => process.exit(0), () => process.exit(1));
