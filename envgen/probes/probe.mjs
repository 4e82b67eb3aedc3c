// fetch of Deno and Bun: RUNTIME probe.mjs CLIENT version, or RUNTIME probe.mjs CLIENT get URL...
import process from "node:process";

const [client, what, ...urls] = process.argv.slice(2);
if (what === "version")
	console.log(process.versions[client]);
for (const url of urls) {
	try {
		await fetch(url, { signal: AbortSignal.timeout(5000) });
	} catch {
		// a refusal is an answer: what counts is where it came from
	}
}
process.exit(0);
