// Java's own clients: java Probe.java CLIENT version, or java Probe.java CLIENT get URL...
import java.net.Authenticator;
import java.net.HttpURLConnection;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

public class Probe {
	// What a program has to set: these clients take a proxy's user and password from nowhere else.
	static class ProxyAuthenticator extends Authenticator {
		@Override
		protected PasswordAuthentication getPasswordAuthentication() {
			String user = System.getProperty("http.proxyUser"), password = System.getProperty("http.proxyPassword");
			if (getRequestorType() != RequestorType.PROXY || user == null || password == null)
				return null;
			return new PasswordAuthentication(user, password.toCharArray());
		}
	}

	static void askUrl(String url) throws Exception {
		HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
		connection.setConnectTimeout(5000);
		connection.setReadTimeout(5000);
		connection.getResponseCode();
	}

	static void askClient(HttpClient client, String url) throws Exception {
		HttpRequest request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(5)).build();
		client.send(request, HttpResponse.BodyHandlers.discarding());
	}

	public static void main(String[] words) {
		if (words[1].equals("version")) {
			System.out.println(System.getProperty("java.version"));
			return;
		}
		HttpClient.Builder builder = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5));
		if (words[0].endsWith("Authenticator")) {
			Authenticator.setDefault(new ProxyAuthenticator());
			builder.authenticator(new ProxyAuthenticator());
		}
		HttpClient client = builder.build();
		for (int i = 2; i < words.length; i++) {
			try {
				if (words[0].startsWith("URL"))
					askUrl(words[i]);
				else
					askClient(client, words[i]);
			} catch (Exception refused) {
				continue; // a refusal is an answer: what counts is where it came from
			}
		}
		System.exit(0);
	}
}
